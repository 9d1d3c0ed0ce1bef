"""Where compiled programs are kept, how much of them, and how to keep none."""

import os

import jax
import pytest

from m3i_jax.commands import _compiled as compiled


@pytest.fixture
def settings():
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs",
             "jax_enable_compilation_cache")  # fmt: skip
    before = {name: getattr(jax.config, name) for name in names}
    yield before
    for name, value in before.items():
        jax.config.update(name, value)


def test_the_oldest_go_first(tmp_path):
    for age, name in enumerate("cab"):
        (tmp_path / name).write_bytes(bytes(100))
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    assert compiled.pruned(tmp_path, 1000) == 300
    assert compiled.pruned(tmp_path, 150) == 100 and [p.name for p in tmp_path.iterdir()] == ["c"]
    assert compiled.pruned(tmp_path / "nowhere", 10) == 0


def test_the_users_cache_unless_the_environment_says_another(
    settings, tmp_path, monkeypatch, caplog
):
    compiled.keep()
    assert jax.config.jax_compilation_cache_dir == settings["jax_compilation_cache_dir"]
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with caplog.at_level("INFO"):
        compiled.keep()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "m3i_jax" / "compiled")
    assert f"kept in {tmp_path}" in caplog.text
    assert (tmp_path / "m3i_jax" / "compiled").stat().st_mode & 0o777 == 0o700
    (tmp_path / "m3i_jax" / "compiled").chmod(0o777)
    compiled.keep()
    assert not jax.config.jax_enable_compilation_cache
    assert "others can write to" in caplog.text and "chmod 700" in caplog.text
    off = compiled.KEEP._replace(rest=(False, ""))
    monkeypatch.setattr(compiled, "KEEP", off)
    compiled.keep()
    assert not jax.config.jax_enable_compilation_cache


@pytest.mark.parametrize("theirs", [False, True])
def test_a_cache_that_cannot_be_written_is_one_sentence_of_ours(
    theirs, settings, tmp_path, monkeypatch, caplog
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "file" / "x") if theirs else "")
    compiled.keep()
    assert not jax.config.jax_enable_compilation_cache
    (said,) = caplog.messages
    assert said.startswith(f"nothing can be written to {tmp_path}/file/") and "not kept" in said


def test_what_only_others_can_write_is_not_writable(tmp_path, monkeypatch):
    assert compiled.writable(tmp_path / "not" / "there") and compiled.writable(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, how: not how & os.W_OK)
    assert not compiled.writable(tmp_path / "not" / "there")
