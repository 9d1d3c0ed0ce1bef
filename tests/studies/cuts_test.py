"""Encoders cut behind a block are measured once; samples are drawn as they are said to be."""

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.evaluation import datasets, models, results, surgery, tasks
from m3i_jax.studies import curves, cuts
from tests.evaluation.dense.scenes import Squares

VIT = dict(name="vit_nano", image=16, width=16, depth=3, heads=2, patch=8)
SWIN = dict(name="swin_v2_t", width=8, depths=(1, 3), heads=(1, 2), image=16, stride=2, window=2)
DATA = datasets.named("digit_scenes:length=60")


@pytest.fixture(scope="module")
def model():
    return models.fresh(VIT)._replace(name="toy")


def test_a_sample_has_each_number_once_and_is_the_same_again():
    for seed in range(5):
        drawn = cuts.sample(18, 9, seed=seed)
        assert len(set(drawn)) == 9 and set(drawn) <= set(range(1, 19))
        assert list(drawn) == sorted(drawn)
        shuffled = cuts.sample(18, 9, seed=seed, shuffled=True)
        assert sorted(shuffled) == list(drawn) and shuffled != drawn
        assert cuts.sample(18, 9, seed=seed) == drawn
    assert len({cuts.sample(18, 9, seed=seed) for seed in range(20)}) > 15
    # Each of the 18 numbers is in half of the samples; four deviations of a binomial of 400.
    times = np.bincount(np.concatenate([cuts.sample(18, 9, seed=s) for s in range(400)]))[1:]
    assert np.abs(times - 200).max() < 4 * 10


def test_what_is_measured_of_each_study(model):
    found = cuts.layers(model, ())
    assert [(cut.curve, cut.blocks) for cut in found] == [("toy", b) for b in (1, 2, 3)]
    assert [cut.model().block["depth"] for cut in found] == [1, 2, 3]
    assert [cut.blocks for cut in cuts.layers(model, [3, 1, 3])] == [1, 3]
    drawn = cuts.random_weights(model, [2], draws=2)
    assert [cut.curve for cut in drawn] == [
        cuts.FIRST,
        *2 * (cuts.SAMPLED, cuts.UNTRAINED),
    ]
    made = [cut.model() for cut in drawn]
    assert made[0].name == "toy:blocks=2" and made[4].name == "untrained:toy:blocks=2,seed=1"
    for draw in (0, 1):
        numbers = ",".join(map(str, cuts.sample(3, 2, seed=draw)))
        assert made[1 + 2 * draw].name == f"toy:sampled=({numbers})"
    assert models.digest(made[2]) != models.digest(made[4])


def test_what_has_been_measured_is_not_measured_again(model, tmp_path, monkeypatch):
    chosen = tasks.create([{"name": "knn", "k": 5}])
    how = dict(place=tmp_path, on=DATA, train_limit=40, test_limit=20, quiet=True)
    first = list(cuts.measured(cuts.layers(model, [1, 2]), chosen, **how))
    assert [point.result.model for point in first] == ["toy:blocks=1", "toy:blocks=2"]
    assert results.read(tmp_path) == [point.result for point in first]
    monkeypatch.setattr(cuts.run, "measured", None)  # nothing is left to do
    again = list(cuts.measured(cuts.layers(model, [1, 2]), chosen, **how))
    assert [point.result for point in again] == [point.result for point in first]
    with pytest.raises(TypeError):  # other records are other numbers
        list(cuts.measured(cuts.layers(model, [1]), chosen, **{**how, "test_limit": 10}))
    assert list(cuts.measured(cuts.layers(model, [3]), chosen, leave=lambda: 75, **how)) == []
    assert "| 1 | " in curves.markdown(first)


def test_heads_of_dense_tasks_learn_on_maps_of_cut_encoders(tmp_path):
    squares = datasets.Data("squares", lambda split, _: Squares({"train": 16, "test": 4}[split]))
    how = dict(place=tmp_path, on=squares, batch=4, quiet=True)
    vit, swin = models.fresh(VIT | {"patch": 4}), models.fresh(SWIN)
    short = dict(steps=2, batch=8)
    first, drawn = surgery.truncated(vit, 2), surgery.sampled(swin, (3, 1), stage=2)
    for model, name in ((first, "segmentation"), (drawn, "pose")):
        (task,) = tasks.create([{"name": name, **short}])
        (point,) = cuts.measured([cuts.Cut("x", 2, lambda model=model: model)], [task], **how)
        assert np.isfinite(point.result.metrics[task.metric])
    # The first blocks alone, and their maps among those of all blocks, are one encoder.
    behind = tasks.create([{"name": "segmentation", "blocks": (2,), **short}])
    (whole,) = cuts.measured([cuts.Cut("x", 3, lambda: vit)], behind, **how)
    assert whole.result.metrics == pytest.approx(results.read(tmp_path)[0].metrics, abs=1e-6)


def test_what_there_is_not_is_a_sentence(model):
    with pytest.raises(ConfigError, match="4 blocks of toy are wanted, expected 1 to 3"):
        cuts.layers(model, [4])
    with pytest.raises(ConfigError, match="has one stack of blocks"):
        cuts.layers(model, [1], stage=2)
    with pytest.raises(ConfigError, match="raw pixels"):
        cuts.layers(models.RAW, [1])
