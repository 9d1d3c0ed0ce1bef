"""Bundles of steps that were left out: what is written is read, what is no bundle is refused."""

import json

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.training import bundle
from m3i_jax.training.bundle import Bundle

ONE = Bundle(
    step=7,
    why="its loss is nan",
    seed=3,
    records=[4, 2],
    position={"sample": 14},
    fingerprint={"length": 9},
    config={"batch": 2},
    metrics={"train/loss": float("inf"), "optim/grad_norm": 0.1},
    versions={"jax": "1"},
)


def test_what_is_written_is_read_and_the_newest_stay(tmp_path):
    for step in range(1, bundle.KEPT + 4):
        path = bundle.write(tmp_path, ONE._replace(step=step))
    there = sorted(path.parent.iterdir())
    assert len(there) == bundle.KEPT and there[0] == bundle.path_of(tmp_path, 4)
    assert there[-1] == path and bundle.read(path) == ONE._replace(step=bundle.KEPT + 3)


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"format": 2}, "its format is 2, expected 1"),
        ({"records": "all"}, "its field 'records' is no list"),
        ({"step": True}, "its field 'step' is no int"),
        ({"position": {}}, "no number from 0 on"),
        ({"records": [-1]}, "no number from 0 on"),
        ({"metrics": {"train/loss": "high"}}, "its metrics are no numbers"),
        (None, "it holds no fields"),
    ],
)
def test_what_is_no_bundle_is_refused(tmp_path, change, sentence):
    path = bundle.write(tmp_path, ONE)
    told = change and json.loads(path.read_text()) | change
    path.write_text(json.dumps(told))
    with pytest.raises(ConfigError, match=f"is no bundle of a skipped step: .*{sentence}"):
        bundle.read(path)


def test_a_file_that_is_not_there_is_named_with_its_neighbour(tmp_path):
    path = bundle.write(tmp_path, ONE)
    with pytest.raises(ConfigError, match="there is no file .*did you mean '.*step-00000007.json'"):
        bundle.read(str(path).replace("007", "008"))
    path.write_text("{")
    with pytest.raises(ConfigError, match="is no bundle of a skipped step"):
        bundle.read(path)
