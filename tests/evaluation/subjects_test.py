"""A work directory is read back and evaluated: which branch, which step, which rows."""

import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from m3i_jax import cli
from m3i_jax.build import ConfigError
from m3i_jax.data.sources.unreadable import TooManyUnreadable
from m3i_jax.evaluation import page, report, subjects
from m3i_jax.evaluation.knn import knn
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


COLOURS = {"bird": (255, 0, 0), "cat": (0, 255, 0), "dog": (0, 0, 255), "fox": (255, 255, 0)}


def painted(path, name):
    """An image of one colour, nearly: nearest neighbours are of the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(str(path))).integers(0, 20, (8, 8, 3))
    pixels = np.clip(np.array(COLOURS[name]) + noise - 10, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def pixels_of(root, tmp_path, **changes):
    """The baseline of raw pixels, of a run on a folder."""
    plain = cli.load("configs/mae_digit_scenes.py").to_dict()
    plain |= {"data": dict(name="image_folder", root=str(root)), "image": 8, **changes}
    return subjects.Trained(tmp_path / "run", Config.of(plain), None, None, "pixels", 0)


@pytest.mark.parametrize("names", [("train", "val"), ("Train", "Test"), ("TRAIN", "VAL")])
@pytest.mark.parametrize("seed", range(6))
def test_two_splits_give_the_right_number_or_a_refusal(tmp_path, seed, names):
    """Classes missing, empty, additional or called otherwise in one of the two splits.

    Every test image has the colour of a class of training, seven in ten of the one that its folder
    says: kNN on pixels finds the colour, so the number is known exactly.
    """
    rng = np.random.default_rng(seed)
    known = sorted(rng.permutation(list(COLOURS))[: 2 + seed % 3])
    for name in known:
        for i in range(24 // len(known)):
            painted(tmp_path / names[0] / name / f"{i}.png", name)
    (tmp_path / names[0] / "empty").mkdir()
    folders = sorted(rng.permutation(list(COLOURS))[: rng.integers(1, 4)])
    for name in COLOURS.keys() - set(folders):
        if rng.random() < 0.5:
            (tmp_path / names[1] / name).mkdir(parents=True)
    (tmp_path / names[1] / "@eaDir").mkdir(parents=True)
    painted(tmp_path / names[1] / "@eaDir" / "0.png", "bird")
    right = 0
    for i in range(12):
        folder = folders[i % len(folders)]
        colour = folder if rng.random() < 0.7 and folder in known else rng.choice(known)
        painted(tmp_path / names[1] / folder / f"{i}.png", colour)
        right += folder == colour
    subject = pixels_of(tmp_path, tmp_path)
    if unknown := sorted(set(folders) - set(known)):
        with pytest.raises(ConfigError, match=f"training has no class '{unknown[0]}'"):
            subjects.tables(subject)
        return
    train, test = subjects.tables(subject)
    assert len(train.labels) == 24 and len(test.labels) == 12
    assert knn(train, test, k=1)[1] == right / 12


def test_a_split_without_labels_is_refused_and_some_without_do_not_count(tmp_path, caplog):
    for name in ("bird", "cat"):
        for i in range(12):
            painted(tmp_path / "train" / name / f"{i}.png", name)
    for i in range(6):
        painted(tmp_path / "val" / f"{i}.png", ("bird", "cat")[i % 2])
    subject = pixels_of(tmp_path, tmp_path)
    with pytest.raises(ConfigError, match="a probe needs classes, but no image of the test split"):
        subjects.tables(subject)
    (tmp_path / "val.txt").write_text("0.png bird\n1.png bird\n2.png bird\n3.png cat\n")
    train, test = subjects.tables(subject)
    assert len(test.labels) == 4 and knn(train, test, k=1)[1] == 3 / 4
    assert "2 of 6 test records have no label: in no number" in caplog.text


def test_a_broken_test_image_is_left_out_of_every_number(tmp_path, caplog):
    for split, count in (("train", 12), ("val", 5)):
        for name in ("bird", "cat"):
            for i in range(count):
                painted(tmp_path / split / name / f"{i}.png", name)
    (tmp_path / "val" / "bird" / "4.png").write_bytes(b"<html>")  # a substitute would be a cat
    train, test = subjects.tables(pixels_of(tmp_path, tmp_path))
    assert test.labels.tolist() == [0] * 4 + [1] * 5 and knn(train, test, k=1)[1] == 1.0
    assert "1 of 10 test records cannot be read: in no number" in caplog.text
    assert "val/bird/4.png" in (tmp_path / "run" / "unreadable.txt").read_text()
    (tmp_path / "val" / "bird" / "3.png").write_bytes(b"")
    with pytest.raises(TooManyUnreadable, match="2 of 10 records of the test split"):
        subjects.tables(pixels_of(tmp_path, tmp_path))
    assert len(subjects.tables(pixels_of(tmp_path, tmp_path, unreadable=0.2))[1].labels) == 8


def test_what_is_measured_survives_what_follows(workdir, tmp_path, caplog):
    caplog.set_level("INFO")
    shutil.copytree(workdir / "checkpoints", tmp_path / "checkpoints")

    def measure(train, test):
        if report.read(tmp_path):
            raise KeyboardInterrupt
        return {"eval/count/rows": float(len(test.labels))}, {}

    with pytest.raises(KeyboardInterrupt):
        subjects.evaluate(measure, tmp_path, baselines=True, train_limit=10, test_limit=10)
    assert [result.branch for result in report.read(tmp_path)] == ["ema"]
    said = [r.message for r in caplog.records]
    for start in ("subject 1 of 3: ema", "features of train: batch 1 of 1", "subject 2 of 3"):
        assert any(line.startswith(start) for line in said), said


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


def test_evenly_spread_records_keep_their_names_and_their_faults():
    class Source:
        def __len__(self):
            return 10

        def read(self, i):
            return None if i == 3 else i

        def where(self, i):
            return f"record {i}"

    some = subjects.every_nth(Source(), 4)
    assert [some.read(i) for i in range(4)] == [0, None, 6, 9] and some.where(2) == "record 6"


def test_the_monitor_wrote_probe_and_health(workdir):
    lines = [x for x in log.read(workdir / "metrics.jsonl") if "health/feature_std" in x]
    assert [line["step"] for line in lines] == [4, 8]
    for line in lines:
        assert 0 <= line["probe/online_knn/top1"] <= 1 and 0 <= line["probe/ema_knn/top1"] <= 1
        assert 1 <= line["health/effective_rank"] <= 32 and line["health/feature_std"] > 0


def test_the_page_shows_curves(workdir):
    text = page.write(workdir).read_text()
    assert "report/curves.png" in text and (workdir / "report" / "curves.png").exists()
