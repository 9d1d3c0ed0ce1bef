import json
import math
import os
import time
from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from m3i_jax.build import ConfigError
from m3i_jax.training import log as logs
from m3i_jax.training.trackers.tracker import Tracker
from tests.jsonfile_test import odd


def test_numbers_come_back_bit_for_bit(tmp_path):
    rng = np.random.default_rng(0)
    singles = rng.normal(size=50).astype(np.float32) * 10.0 ** rng.integers(-30, 30, 50)
    with logs.Log(tmp_path, total=100) as log:
        for step, x in enumerate(singles.astype(np.float32)):
            log.scalars(step, {"train/loss": x, "device": jnp.float32(x), "double": float(x) / 3})
        log.scalars(
            50, {"a": float("nan"), "b": np.float32("inf"), "c": -math.inf, "d": 3, "e": "t"}
        )
    lines = logs.read(tmp_path / "metrics.jsonl")
    for step, x in enumerate(singles.astype(np.float32)):
        assert lines[step]["step"] == step
        assert np.float32(lines[step]["train/loss"]).tobytes() == x.tobytes()
        assert np.float32(lines[step]["device"]).tobytes() == x.tobytes()
        assert lines[step]["double"] == float(x) / 3
    last = lines[50]
    assert math.isnan(last["a"]) and last["b"] == math.inf and last["c"] == -math.inf
    assert last["d"] == 3 and last["e"] == "t"

    def strict(constant):
        raise AssertionError(f"{constant} is not JSON")

    for line in (tmp_path / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=strict)


def test_resuming_drops_later_and_broken_lines(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with logs.Log(tmp_path, total=9) as log:
        for step in (1, 2, 3, 4):
            log.scalars(step, {"x": step / 3})
    before = path.read_bytes().splitlines(keepends=True)
    with open(path, "ab") as file:
        file.write(b'{"step": 2, "x"')  # killed in the middle of a line
    assert [e["step"] for e in logs.read(path)] == [1, 2, 3, 4]
    with logs.Log(tmp_path, total=9, start=2) as log:
        assert path.read_bytes() == b"".join(before[:2])
        log.scalars(3, {"x": 7})
    assert [e["step"] for e in logs.read(path)] == [1, 2, 3]
    path.write_bytes(b'garbage\n{"no": 1}\n[1]\n' + before[0] + b'{"step": 1}')
    logs.truncate(path, 1)
    assert path.read_bytes() == before[0]
    assert logs.read(tmp_path / "absent") == []


def test_truncating_is_atomic(tmp_path, monkeypatch):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n')

    def crash(*args):
        raise OSError("power")

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(OSError):
        logs.truncate(path, 1)
    assert len(logs.read(path)) == 2


def test_pictures_are_files(tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (6, 4, 3)).astype(np.uint8)
    with logs.Log(tmp_path, total=9) as log:
        log.images(3, {"views/mix": picture})
        picture_then = picture.copy()
        picture[:] = 0  # the caller's array may be used again
    png = Image.open(tmp_path / "images" / "views" / "mix-00000003.png")
    np.testing.assert_array_equal(np.asarray(png), picture_then)


def test_trackers_are_told_numbers_and_one_that_fails_stops_nothing(tmp_path, caplog):
    seen = []

    def keeps(step, values):
        seen.append((step, dict(values)))

    def fails(step, values):
        raise ConnectionError("no route to host")

    trackers = {"a": lambda: Tracker(keeps, keeps), "b": lambda: Tracker(fails, fails)}
    with logs.Log(tmp_path, total=9, trackers=trackers) as log:
        for step in range(3):
            log.scalars(step, {"x": np.float32(step), "note": "a text"})
            time.sleep(0.01)
    assert seen == [(step, {"x": float(step)}) for step in range(3)]
    assert [e["step"] for e in logs.read(tmp_path / "metrics.jsonl")] == [0, 1, 2]
    assert len(caplog.records) == 1 and "b is off from here (ConnectionError: no" in caplog.text


def test_a_full_disk_warns_once_and_what_it_refused_is_written_later(tmp_path, monkeypatch, caplog):
    with logs.Log(tmp_path, total=9) as log:

        def full(*args):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        log.scalars(1, {})
        log.scalars(2, {})
        monkeypatch.undo()
        log.scalars(3, {})
    assert [e["step"] for e in logs.read(tmp_path / "metrics.jsonl")] == [1, 2, 3]
    assert len(caplog.records) == 1 and "the training goes on" in caplog.text


def test_other_processes_write_nothing(tmp_path):
    with logs.Log(tmp_path / "w", total=9, active=False) as log:
        log.scalars(1, {"x": 1})
        log.images(1, {"x": np.zeros((2, 2, 3), np.uint8)})
        log.progress(1, loss=1.0, images_per_second=1.0)
    assert not (tmp_path / "w").exists()


CONFIG = {
    "optimizer": {"lr": 1e-3, "betas": (0.9, 0.95)},
    "log": {"every": 50},
    "logic": 1,
    "flag": True,
}


def test_the_config_is_written_and_compared(tmp_path):
    work = tmp_path / "run"
    assert logs.guard_config(work, ConfigDict(CONFIG)) == []
    assert json.loads((work / "config.json").read_text())["optimizer"]["betas"] == [0.9, 0.95]
    assert logs.guard_config(work, CONFIG) == []
    changed = {**CONFIG, "log": {"every": 10, "images": 1}}
    assert logs.guard_config(work, changed, write=False) == [
        "log.every was 50, is now 10",
        "log.images was absent, is now 1",
    ]
    assert json.loads((work / "config.json").read_text())["log"] == {"every": 50}
    assert len(logs.guard_config(work, changed)) == 2
    assert logs.guard_config(work, changed) == []


def test_only_the_weights_of_a_mixture_may_change_in_its_blocks(tmp_path):
    def data(weight, root="x"):
        block = {"name": "mixture", "of": {"a": {"weight": weight, "root": root}}}
        return {**CONFIG, "data": block}

    logs.guard_config(tmp_path, data(1))
    guard = partial(logs.guard_config, tmp_path, safe=("data.of.*.weight",))
    assert guard(data(3)) == ["data.of.a.weight was 1, is now 3"]
    with pytest.raises(ConfigError, match="config: data.of.a.root was 'x', is now 'y'. Set"):
        guard(data(1, root="y"))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"optimizer": {"lr": 2e-3, "betas": (0.9, 0.95)}}, "optimizer.lr was 0.001, is now 0.002"),
        ({"optimizer": {"lr": 1e-3, "betas": (0.9, 0.99)}}, r"optimizer.betas was \[0.9, 0.95\]"),
        ({"optimizer": {"lr": 1e-3}}, "optimizer.betas was .* is now absent"),
        ({"logic": 2}, "logic was 1, is now 2"),  # not inside `log`
        ({"flag": 1}, "flag was True, is now 1"),
        ({"new": {"a": 1}}, "new was absent"),
        ({"log": {"every": 1}, "logic": 3}, "config: logic was 1, is now 3. Set"),
        ({"logic": 2}, r"start another run with --workdir .*-2$"),
        (
            dict.fromkeys("abcde", 1) | {"duration": 1},
            "config: duration .*; a .*; c .*; and 2 more k",
        ),
        ({"duration": "9 steps"}, r"-2\. A run of another length has other"),
    ],
)
def test_another_config_is_refused_by_key(tmp_path, change, message):
    logs.guard_config(tmp_path, CONFIG)
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(ConfigError, match=message):
        logs.guard_config(tmp_path, {**CONFIG, **change})
    assert (tmp_path / "config.json").read_bytes() == before


def test_an_unreadable_config_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConfigError, match="not readable JSON"):
        logs.guard_config(tmp_path, CONFIG)


@pytest.mark.parametrize(
    "line",
    [
        "[" * 100_000,
        '{"step": 1e999}',
        '{"step": 3, "x": [1]}',
        '{"step": 3, "x": 1' + "0" * 400 + "}",
    ],
)
def test_lines_of_others_are_left_out(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "x": "NaN"}\n' + line + '\n{"step": 2}\n')
    assert [entry["step"] for entry in logs.read(path)] == [1, 2]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"batch": 1e999}', "{"])
def test_a_config_json_of_somebody_else_is_a_sentence(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match="config.json is not readable JSON"):
        logs.guard_config(tmp_path, CONFIG)
    logs.guard_config(tmp_path, CONFIG, bound=False)
    assert logs.guard_config(tmp_path, CONFIG) == []


def test_a_directory_without_steps_binds_nobody(tmp_path):
    logs.guard_config(tmp_path, CONFIG)
    other = {**CONFIG, "batch": -7}
    assert logs.guard_config(tmp_path, other, bound=False) == []
    assert json.loads((tmp_path / "config.json").read_text())["batch"] == -7


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket", "device"])
def test_what_is_no_file_is_a_sentence_and_nobody_waits_for_it(kind, tmp_path):
    path = odd(kind, tmp_path / "metrics.jsonl")
    opened = lambda: logs.Log(tmp_path, total=2)  # noqa: E731
    for act in (lambda: logs.read(path), lambda: logs.truncate(path, 1), opened):
        with pytest.raises(ConfigError, match="metrics.jsonl' cannot be read: it is no ordinary f"):
            act()
    odd(kind, tmp_path / "config.json")
    with pytest.raises(ConfigError, match="config.json is not readable JSON: it is no ordinary"):
        logs.guard_config(tmp_path, CONFIG)


@pytest.mark.parametrize("step", ["-1", "true", "1.5", '"3"', "null", "[1]"])
def test_a_step_is_a_count(step, tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 1}}\n{{"step": {step}, "train/loss": 1.0}}\n{{"step": 2}}\n')
    assert [entry["step"] for entry in logs.read(path)] == [1, 2]
    logs.truncate(path, 5)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'


@pytest.mark.parametrize(
    "text", [b"[]", b"3", b'"x"', b"null", b"\xff\xfe\x00", b"", b'{"batch": ']
)
def test_a_config_json_that_is_none_is_a_short_sentence(text, tmp_path):
    (tmp_path / "config.json").write_bytes(text)
    with pytest.raises(ConfigError, match="config.json is (no config but|not readable JSON)") as e:
        logs.guard_config(tmp_path, CONFIG)
    assert len(str(e.value)) < 300 + len(str(tmp_path)) and "\n" not in str(e.value)


def test_values_of_another_config_are_cut(tmp_path):
    logs.guard_config(tmp_path, {"data": list(range(1000))})
    with pytest.raises(ConfigError, match="data was .*…, is now {'x.*…") as e:
        logs.guard_config(tmp_path, {"data": {"x" * 1000: 1}})
    assert len(str(e.value)) < 500 + len(str(tmp_path))
