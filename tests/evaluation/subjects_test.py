"""A work directory is read back and evaluated: which branch, which step, which rows."""

import jax
import numpy as np
import pytest

from m3i_jax import cli
from m3i_jax.build import ConfigError
from m3i_jax.evaluation import page, report, subjects
from m3i_jax.evaluation.monitor import monitor
from m3i_jax.training import log
from m3i_jax.training.config import Config
from m3i_jax.training.session import train


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A finished run of MAE, as small as they come, with its monitor."""
    config = cli.load("configs/mae_digit_scenes.py").to_dict()
    config.update(image=16, batch=8, duration="8 steps", warmup="1 steps")
    config["encoder"].update(width=32, depth=1, heads=2, patch=4)
    config["decoders"]["image"].update(width=32, depth=1, heads=2)
    config["data"]["length"] = 60
    config["log"] = dict(every=1, images=0)
    config["checkpoint"] = dict(every=4, keep=2)
    config["monitor"] = dict(every=4, bank=24, queries=16)
    path = tmp_path_factory.mktemp("run") / "run"
    assert train(Config.of(config), path, watch=monitor) == 0
    return path


def test_the_newest_step_and_the_moving_average_are_the_default(workdir):
    found = subjects.restore(workdir)
    assert (found.step, found.branch) == (8, "ema")
    assert subjects.restore(workdir, step=4).step == 4
    assert subjects.restore(workdir / "checkpoints" / "4").step == 4
    online = subjects.restore(workdir, branch="online")
    same = jax.tree.map(
        np.array_equal, online.params["encoders"]["image"], found.params["encoders"]["image"]
    )
    assert not all(jax.tree.leaves(same))


@pytest.mark.parametrize(
    "where, branch, sentence",
    [("", "emma", "has the branches ema and online, not 'emma'"), ("no", "ema", "no checkpoints")],
)
def test_what_is_not_there_is_said(workdir, where, branch, sentence):
    with pytest.raises(ConfigError, match=sentence):
        subjects.restore(workdir / where, branch=branch)


def test_the_untrained_twin_is_what_the_run_started_from(workdir):
    twin = subjects.untrained(subjects.restore(workdir))
    fresh = twin.network.init(jax.random.key(0))
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, twin.params, fresh)))


def test_every_subject_is_measured_on_the_rows_asked_for(workdir):
    seen = []

    def measure(train, test):
        seen.append((train.features.shape, test.features.shape))
        return {"eval/linear/top1": 0.5}, {"recipe": "none"}

    results = subjects.evaluate(measure, workdir, baselines=True, train_limit=23, test_limit=11)
    assert [r.branch for r in results] == ["ema", "untrained", "pixels"]
    assert seen == [((23, 32), (11, 32))] * 2 + [((23, 768), (11, 768))]
    assert all(r.counts == {"train": 23, "test": 11} for r in results)
    assert [r.branch for r in report.read(workdir)] == ["ema", "untrained", "pixels"]


def test_evenly_spread_records_are_those_of_the_source():
    class Source:
        name = "numbers"

        def __len__(self):
            return 10

        def __getitem__(self, i):
            return i * i

    some = subjects.every_nth(Source(), 4)
    assert [some[i] for i in range(len(some))] == [0, 9, 36, 81] and some.name == "numbers"
    assert len(subjects.every_nth(Source(), 99)) == 10


def test_the_monitor_wrote_probe_and_health(workdir):
    lines = [x for x in log.read(workdir / "metrics.jsonl") if "health/feature_std" in x]
    assert [line["step"] for line in lines] == [4, 8]
    for line in lines:
        assert 0 <= line["probe/online_knn/top1"] <= 1 and 0 <= line["probe/ema_knn/top1"] <= 1
        assert 1 <= line["health/effective_rank"] <= 32 and line["health/feature_std"] > 0


def test_the_page_shows_curves(workdir):
    text = page.write(workdir).read_text()
    assert "report/curves.png" in text and (workdir / "report" / "curves.png").exists()
