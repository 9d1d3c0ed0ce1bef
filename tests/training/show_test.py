"""A config in words: all keys that it can have, with their defaults, ranges and meanings."""

import inspect
import re
import subprocess
import sys
import time

import pytest

from m3i_jax import cli, meanings, shipped
from m3i_jax.build import ConfigError
from m3i_jax.ranges import described
from m3i_jax.training import schema, show
from m3i_jax.training.config import Config


@pytest.fixture(scope="module")
def pages():
    """{config: (its page, its data)} of one for each kind of block."""
    names = ("digit_scenes/m3i", "digit_scenes/mae_clip", "imagenet/densecl_resnet50")
    names += ("finetune/vit_b16:mae", "digit_scenes/vq_kd")
    loaded = {name: cli.load(name).to_dict() for name in names}
    return {name: (show.page(data), data) for name, data in loaded.items()}


def section(page, path):
    """The lines on a block."""
    return re.search(rf"^{re.escape(path)}( = \w+)?: .*?(?=\n\n|\Z)", page, re.M | re.S)[0]


def test_a_key_has_value_range_and_meaning(pages):
    page, _ = pages["digit_scenes/m3i"]
    assert "  keep = 2                               int, 2 to 10000: one that is damaged" in page
    assert (
        "  keep_every = 0 (default)               int, 0 to 2147483647\n      multiples of" in page
    )
    assert "  image = (config.image)                 int, 1 to 4096; or 2 of (int" in page
    said = "  out = (what the objective asks for)    int, 2 to 131072: a code of one number is"
    assert said in page
    assert "encoder = vit_nano: the tower that sees images, and is trained.\n    Pre-norm" in page
    assert "left empty:\n  weights: where the weights of frozen towers come from" in page


def test_every_value_of_a_config_is_on_its_page(pages):
    for page, data in pages.values():
        assert max(map(len, page.splitlines())) <= 100
        for place in schema.places(Config.of(data).to_dict()):
            lines = " ".join(section(page, place.path).split())
            assert not place.name or meanings.title(place.function)[:20] in lines
            for key, value in place.keywords.items():
                if len(repr(value)) < 60:
                    assert f" {key} = {' '.join(repr(value).split())} " in lines, (place.path, key)
                    assert f" {key} = {value!r} (default)" not in lines


def test_what_is_left_out_is_shown_as_the_function_has_it(pages):
    page, data = pages["digit_scenes/m3i"]
    default = inspect.signature(schema.Monitor).parameters["k"].default
    assert "k" not in data["monitor"]
    assert f"  k = {default} (default) " in section(page, "monitor")
    changed = show.page(data | {"monitor": {"k": 7}})
    assert "  k = 7   " in section(changed, "monitor")


def test_a_config_that_is_wrong_is_not_shown(pages):
    _, data = pages["digit_scenes/m3i"]
    with pytest.raises(ConfigError, match="config.mesh has no key 'fsp'; did you mean 'fsdp'"):
        show.page(data | {"mesh": {"fsp": 1}})


def test_every_key_that_a_config_can_have_says_what_it_means():
    """So docstrings stay whole: no exceptions."""
    silent = {("config", key) for key in inspect.signature(Config).parameters}
    silent -= {("config", key) for key in meanings.of(Config)}
    for path, block in schema.BLOCKS.items():
        alone = callable(block.functions)
        functions = [block.functions] if alone else list(block.functions.values())
        for fn in [*functions, *([block.read_elsewhere] if block.read_elsewhere else [])]:
            fields, said = inspect.signature(fn).parameters, meanings.of(fn)
            known = {*block.given, *said} | {n for n, p in fields.items() if not _sayable(p)}
            silent |= {(f"{path}: {getattr(fn, '__name__', fn)}", n) for n in fields.keys() - known}
            assert meanings.title(fn), fn
    assert not silent, silent


def _sayable(parameter):
    return bool(described(parameter.annotation))


def test_blocks_functions_and_keys_are_listed():
    assert show.blocks().keys() == schema.BLOCKS.keys() and all(show.blocks().values())
    assert show.functions("log") == {}
    assert show.functions("optimizer")["sgd"].startswith("SGD with momentum")
    assert "  weight_decay = 0.05 (default) " in show.keys("optimizer", name="adamw")
    assert "  lr = None (default) " in show.keys("optimizer", name="sgd")
    assert "  path = (has to be said) " in show.keys("init_from")
    with pytest.raises(ConfigError, match="unknown optimizer 'adam'; did you mean 'adamw'"):
        show.keys("optimizer", name="adam")


def test_a_program_shows_its_config_at_once_and_does_nothing(tmp_path):
    start = time.perf_counter()
    words = "pretrain --show --config digit_scenes/mae --config.optimizer.lr=3e-4 --workdir".split()
    out = subprocess.run(
        [sys.executable, "-m", "m3i_jax", *words, tmp_path / "run"], capture_output=True, text=True
    )
    assert out.returncode == 0 and not list(tmp_path.iterdir()), out.stderr
    assert "  lr = 0.0003  " in section(out.stdout, "optimizer")
    assert time.perf_counter() - start < 20  # 1.3 s by itself; tests run side by side


def test_a_reader_that_has_seen_enough_is_no_fault():
    words = [sys.executable, "-m", "m3i_jax", "plan", "--show"]
    program = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    program.stdout.close()
    assert program.stderr.read() == b"" and program.wait() == 141  # as `yes | head` has it


def test_every_config_has_a_page():
    for name in shipped.names():
        assert show.page(cli.load(name)).startswith("config: what a run is")
