"""Minutes become steps once: by the rate that was timed, and from then on by what was kept."""

import json
from dataclasses import replace

import jax
import pytest

from m3i_jax import cli
from m3i_jax.build import ConfigError
from m3i_jax.training import assemble, lengths, log, pacing, reading, session
from m3i_jax.training.config import Config
from m3i_jax.training.pacing import Pace


@pytest.fixture
def config():
    return Config.of(cli.load("digit_scenes/mae").to_dict() | {"duration": "2 minutes"})


@pytest.fixture
def compiled():
    """Names of the programs that are compiled, or would be were they not kept."""
    names = []
    listen = lambda event, seconds, **of: (  # noqa: E731
        names.append(of.get("fun_name")) if event.endswith("backend_compile_duration") else None
    )
    jax.monitoring.register_event_duration_secs_listener(listen)
    yield names
    jax.monitoring.unregister_event_duration_listener(listen)


def test_a_run_of_minutes_compiles_its_step_once(shrunk, tmp_path, monkeypatch, compiled):
    """However far from the guess its length is: here it is three times as long."""
    monkeypatch.setattr(pacing, "TIMED", (0.05, 0.05))
    monkeypatch.setattr(pacing, "GUESS", 1000)
    config = shrunk("mae", duration="0.01 minutes", average={})
    source = reading.read(config, tmp_path, split="train")
    fixed, program = pacing.fixed(config, tmp_path, lambda: source, memory=tmp_path / "paces")
    longer = replace(fixed, duration="30 steps")
    also = dict(source=source, program=program)
    assert session.start(assemble.check(longer), tmp_path, **also) == 0
    assert sum("advance" in str(name) for name in compiled) == 1, compiled
    rates = [row["optim/lr"] for row in log.read(tmp_path / log.METRICS)]
    assert len(rates) == 30 and rates[29] < rates[15] < rates[2] == max(rates)


def test_a_run_that_goes_on_reads_what_was_measured(config, tmp_path, monkeypatch):
    monkeypatch.setattr(pacing, "measured", lambda *_, **__: (Pace(1.0, 0.5, 9), None))
    paces = tmp_path / "paces"
    assert pacing.supposed(config, paces).duration == f"{2 * pacing.GUESS} steps"
    assert pacing.kept(config, tmp_path) is config  # no step yet
    fixed, _ = pacing.fixed(config, tmp_path, lambda: None, memory=paces)
    steps = lengths.parse(fixed.duration)
    assert 215 < steps < 235 and json.loads((tmp_path / pacing.FILE).read_text())["step"] == 0.5
    other_rate = replace(config, optimizer=config.optimizer | {"lr": 1e-5}, seed=7)
    assert pacing.supposed(other_rate, paces).duration == fixed.duration  # whose steps are alike
    assert pacing.supposed(replace(config, batch=32), paces).duration != fixed.duration
    monkeypatch.setattr(pacing, "measured", lambda *_, **__: (Pace(1.0, 5.0, 9), None))
    slower, _ = pacing.fixed(config, tmp_path, lambda: None, memory=paces)
    assert lengths.parse(slower.duration) < 25  # no step yet
    (tmp_path / "checkpoints" / "20").mkdir(parents=True)
    again = pacing.kept(config, tmp_path)
    assert again.duration == json.loads((tmp_path / pacing.FILE).read_text())["duration"]
    assert pacing.fixed(fixed, tmp_path, None, memory=paces) == (fixed, None)
    assert pacing.supposed(fixed, paces) is fixed


def test_a_run_says_how_fast_the_next_one_will_be(config, tmp_path):
    rows = [{"step": n, pacing.RATE: rate} for n, rate in enumerate((90.0, 3.0, 100.0, 110.0))]
    pacing.learned(config, rows[:2], tmp_path)
    assert pacing.known(config, tmp_path) is None, "two lines are none"
    pacing.learned(config, [{"step": 0}, *rows], tmp_path)
    right = 60 * 95.0 / config.batch / (1 + pacing.ASIDE)
    assert pacing.known(config, tmp_path) == pytest.approx(right)
    longer = replace(config, duration="900 steps")
    assert pacing.known(longer, tmp_path) == pytest.approx(right)
    for text in ('{"steps": NaN}', '{"steps": -1}', "[]", "x"):
        pacing._remembered(config, tmp_path).write_text(text)
        assert pacing.known(config, tmp_path) is None
        assert pacing.supposed(config, tmp_path).duration == f"{2 * pacing.GUESS} steps"


def test_minutes_are_a_length_of_a_run_alone(config):
    assert lengths.minutes("2 minutes") == 2.0 and lengths.minutes("2 epochs") is None
    with pytest.raises(ConfigError, match="which only config.duration can be"):
        lengths.parse("2 minutes")
    with pytest.raises(ConfigError, match="'maybe minutes' is not a length"):
        lengths.parse(replace(config, duration="maybe minutes").duration)
