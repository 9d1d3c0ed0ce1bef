"""The benchmarks as they are called from a shell, on the smallest config they can have."""

import importlib
import json
import os
import pathlib
import subprocess
import sys

import pytest

from tests import programs

ROOT = pathlib.Path(__file__).parents[1]
TINY = (
    "--set=image=16", "--set=encoder.depth=1", "--set=encoder.width=32", "--set=encoder.heads=2",
    "--set=decoders.image.depth=1", "--set=decoders.image.width=32", "--set=decoders.image.heads=2",
    "--batch=4", "--rounds=2", "--steps=1",
)  # fmt: skip


def benchmark(*words, program="train_step", without=()):
    """Runs a benchmark in a process that cannot import what is named in `without`."""
    script = str(ROOT / "benchmarks" / f"{program}.py")
    code = (
        f"import runpy, sys; sys.modules.update(dict.fromkeys({list(without)!r}))\n"
        f"sys.argv = {[script, *words]!r}\n"
        f"runpy.run_path({script!r}, run_name='__main__')\n"
    )
    environment = os.environ | programs.devices(1) | {"JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=ROOT
    )


@pytest.mark.slow
def test_figures_of_a_tiny_run(tmp_path):
    file = tmp_path / "figures.json"
    config = str(ROOT / "configs" / "digit_scenes/mae.py")
    absent = ("grain", "orbax", "ml_collections", "clu", "tensorflow", "torch")
    done = benchmark("--config", config, *TINY, "--json", str(file), without=absent)
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    for name in ("images_per_second", "model_flops_per_second", "ceiling_flops_per_second"):
        for clock in ("wall", "cpu"):
            spread = found[name][clock]
            assert 0 < spread["min"] <= spread["median"] <= spread["max"]
    assert 0 < found["share_of_ceiling"]["cpu"]["median"] < 1.5
    rate, work = (found[n]["cpu"] for n in ("images_per_second", "model_flops_per_second"))
    assert work["max"] == pytest.approx(rate["max"] * found["flops_per_image"]["model"])
    assert found["host_ms_per_call"]["empty"] > 0
    assert found["host_ms_per_call"]["leaves"] > 20
    assert found["seconds"]["compile"]["wall"] > 0
    assert found["memory_mib"]["process"] > found["memory_mib"]["arguments"] > 0
    assert found["batch"] == 4 and found["versions"]["jax"]
    assert "images/s" in done.stdout and "share" in done.stdout


@pytest.mark.slow
def test_the_share_of_the_window_target(tmp_path):
    file = tmp_path / "figures.json"
    config = str(ROOT / "configs" / "digit_scenes/cim.py")
    sizes = [f"--set={tower}.width=32" for tower in ("encoder", "towers.generator")]
    how = ("--batch=4", "--rounds=2", f"--json={file}")
    done = benchmark("--config", config, *sizes, *how, program="window_target")
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    cpu = {name: found[name]["cpu"] for name in ("window", "raw", "alone", "slowdown", "share")}
    assert all(0 < x["min"] <= x["median"] <= x["max"] for x in cpu.values())
    assert cpu["share"]["max"] <= cpu["alone"]["max"] / cpu["window"]["min"] < 1
    assert cpu["slowdown"]["min"] >= cpu["window"]["min"] / cpu["raw"]["max"]
    assert "its share of the step" in done.stdout


@pytest.mark.parametrize(
    "words, sentence",
    [
        (("--vs=torch",), "which is not installed here"),
        (("--set=encoder.widht=3",), "widht"),
        (("--set=nonsense.key=3",), "BLOCK.KEY=VALUE"),
        (("--config=configs/digit_scenes/mea.py",), "mae"),
    ],
)
def test_refusals_are_sentences(words, sentence):
    done = benchmark(*words, without=("torch", "transformers"))
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr and "Traceback" not in done.stderr


def test_rows_without_a_peer_are_refused():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import peers
    finally:
        sys.path.pop(0)
    from m3i_jax import cli
    from m3i_jax.build import ConfigError
    from m3i_jax.training.config import Config

    load = lambda name: Config.of(cli.load(str(ROOT / "configs" / f"{name}.py")))  # noqa: E731
    with pytest.raises(ConfigError, match="not for 'm3i'"):
        peers.check_row(load("digit_scenes/m3i"))
    peers.check_row(load("imagenet/mae_vit_b16"))
    size = peers.sizes(load("imagenet/mae_vit_b16"))
    assert (size.width, size.depth, size.heads, size.patch) == (768, 12, 12, 16)
    assert (size.decoder_width, size.decoder_depth, size.decoder_heads) == (512, 8, 16)
    plain = peers.comparable(load("imagenet/classification_vit_b16"))
    assert plain.augment == {} and plain.encoder["drop_path"] == 0.0
    assert plain.decoders["category"]["name"] == "linear"


def test_the_linear_probe_beside_scikit_learn(tmp_path):
    pytest.importorskip("sklearn")
    file = tmp_path / "figures.json"
    words = ("--rows=400", "--width=16", "--classes=3", "--apart=0.8", "--json", str(file))
    done = benchmark(*words, program="linear_probe")
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    ours, peer = found["ours"], found["scikit-learn"]
    assert ours["l2"] == peer["l2"] and abs(ours["top1"] - peer["top1"]) <= 1 / 80
    assert all(row["wall"] > 0 and row["cpu"] > 0 for row in found.values())
    assert "scikit-learn / ours by wall" in done.stdout


@pytest.mark.slow
def test_measures_of_attention_beside_the_forward_pass(tmp_path):
    file = tmp_path / "figures.json"
    words = ("--encoder=vit_nano", "--batch=2", "--rounds=2", "--json", str(file))
    done = benchmark(*words, program="attention_measures")
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    assert 0 < found["low"] <= found["ratio"] <= found["high"] and found["image"] == 32
    assert "forward passes" in done.stdout


@pytest.mark.slow
def test_sources_are_opened():
    done = benchmark("--records", "40", "--source", "arrays", program="sources")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("ms a record") == 2


@pytest.fixture
def imported(monkeypatch):
    """imported(name) -> a program as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module


@pytest.fixture
def accelerator(imported):
    """The program of all parts, as a module."""
    return imported("accelerator")


def test_parts_of_the_accelerators_program_end_apart(accelerator):
    """One that fails, one that takes too long and one without its peer cost the others nothing."""
    part, asked = accelerator.Part("train_step", ("--vs=compiled",), (), 60), []
    end = accelerator.time.monotonic() + 100

    def failing(command, **_):
        asked.append(command)
        peerless = "--vs=compiled" not in command
        sentence = "no memory" if peerless else "--vs compiled needs torch, which is not installed"
        return subprocess.CompletedProcess(command, 1, "", f"Traceback\n{sentence}\n")

    def endless(command, *, timeout, **_):
        assert timeout <= 60
        raise subprocess.TimeoutExpired(command, timeout)

    assert accelerator.one(part, False, end, run=failing)["status"] == "ended with 1: no memory"
    assert len(asked) == 2  # again without the peer that is not there
    assert accelerator.one(part, False, end, run=endless)["status"] == "not done in 60 s"
    late = accelerator.one(part, False, end - 90, run=failing)
    assert late["status"] == "no time was left" and "no time was left" in accelerator.table(
        {"a": late}
    )


def test_more_minutes_are_shared_out(accelerator):
    part = accelerator.Part("train_step", (), (), 60)
    assert [accelerator.longer(part, n).seconds for n in (4, 10, 30)] == [60, 60, 180]


def test_plans_of_their_own_are_of_published_configs_and_divide(imported):
    from m3i_jax import shipped
    from m3i_jax.training.planning import peaks

    for name, (chips, changes) in imported("plans").OWN.items():
        assert name in shipped.names()
        for kind, count in (text.split(":") for text in chips):
            assert kind in peaks.NAMES and changes["batch"] % int(count) == 0


def test_every_part_of_the_accelerators_program_can_be_assembled(accelerator):
    import jax
    import train_step

    from m3i_jax.training import assemble

    for part in accelerator.PARTS.values():
        if part.program == "train_step":
            for words in (part.words, part.toy):
                config = train_step.configure(train_step.arguments(words))
                assemble.check(config, devices=jax.devices()[:1])


def test_each_head_of_objects_can_be_assembled_and_has_a_batch(imported, capsys):
    import jax
    import numpy as np

    objects = imported("objects")
    for head in objects.HEADS:
        given = objects.arguments([f"--head={head}", "--image=192", "--batch=1"])
        run = objects.assembled(given)
        made, wanted = objects.synthetic(run, 1), run.batch_shape()
        assert jax.tree.map(np.shape, made) == jax.tree.map(np.shape, wanted)
        assert objects.parameters(run) > 40e6
    with pytest.raises(SystemExit):
        objects.arguments(["--head=mask_rcnn", "--image=100"])
    assert "--image 100: expected 192 or more, a multiple of 64" in capsys.readouterr().err


def test_a_toy_step_and_its_dearest_operations_are_a_table(tmp_path):
    file = tmp_path / "figures.json"
    done = benchmark("--toy", "--only=mae", f"--json={file}", program="accelerator")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(file.read_text())
    assert found["mae"]["status"] == found["profile"]["status"] == "done"
    assert found["profile"]["of"] == "mae" and found["profile"]["report"]["operations"][0]["ms"] > 0
    assert "| mae, batch 4, float32 |" in done.stdout and "dearest operations" in done.stdout


def test_every_kind_of_change_of_a_checkpoint_is_found_or_without_effect(imported, tmp_path):
    mutations, changes = imported("mutations"), imported("changes")
    original = mutations.made(tmp_path / "run")
    kinds = set()
    for number in range(len(changes.CHANGES)):
        what, answers = mutations.tried(number, 1, original, tmp_path)
        assert {answer.kind for answer in answers} <= {*mutations.ANSWERS}, (what, answers)
        kinds |= {answer.kind for answer in answers}
    assert kinds == {*mutations.ANSWERS}
    for read in (mutations.goes_on, mutations.loads):  # where it is not what was saved
        told = read(original.workdir, original._replace(steps={}), 30)
        assert told.kind == mutations.SILENT and "30 is not what was saved" in told.said


@pytest.mark.parametrize("name", [
    "safetensors: a pipe for a shard", "torch: os.system in an archive",
    "NumPy: objects in an archive", "image: PNG of 50 000 x 50 000",
    "zip: names that lead elsewhere", "tar: a member of -1 bytes",
    "shards: labels that are objects", "config: YAML that makes objects",
    "words: a call for a number", "tokenizer: captions of 10^9 tokens", "page: markup for results",
])  # fmt: skip
def test_a_file_of_a_stranger_does_nothing(imported, tmp_path, name):
    attacks = imported("attacks")
    (attack,) = [one for one in attacks.ATTACKS if one.name == name]
    (tmp_path / "in").mkdir()
    attack.make(tmp_path / "in", tmp_path / "canary")
    kind, said = attacks.met(attack, tmp_path / "in")
    assert kind in ("refused", "harmless"), said
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_code_that_is_run_and_what_is_no_sentence_are_seen(imported, tmp_path):
    import pickle

    attacks = imported("attacks")
    bad = attacks.Attack("x", lambda *_: None, lambda folder: 1 / 0)
    assert attacks.met(bad, tmp_path) == ("traceback", "ZeroDivisionError: division by zero")
    touch = imported("hostile.attack").Touch(tmp_path / "canary")
    pickle.loads(pickle.dumps(touch))
    assert (tmp_path / "canary").exists()
