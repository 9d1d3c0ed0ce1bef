"""Configs with one thing wrong, drawn at random: a sentence at once, with the right hint.

python -m pytest tests/config_fuzz_test.py --draws=3000      # prints its figures with -s
"""

import copy
import inspect
import math
import random
import resource
import string
import time
from typing import Any, NamedTuple

import pytest
from absl import flags
from ml_collections import ConfigDict, config_flags

from m3i_jax import cli, config_file, data, decoders, encoders, methods, ranges
from m3i_jax.build import ConfigError
from m3i_jax.methods import compose
from m3i_jax.training import assemble, optimizer, schema
from m3i_jax.training.config import Config
from tests import config_ranges_test as bounds

NAMES = (
    "digit_scenes/mae", "digit_scenes/m3i", "digit_scenes/dino", "digit_scenes/moco_v3",
    "digit_scenes/clip", "digit_scenes/cim", "digit_scenes/vq_kd", "folder/simclr",
    "imagenet/simmim_swin_v2_b", "imagenet/densecl_resnet50", "finetune/cim_vit_b16",
    "mixture/m3i_internimage_h",
)  # fmt: skip
SECONDS = 2.0
DEEP = 97  # one of so many that are accepted is assembled, too


class Draw(NamedTuple):
    """A config with one change.

    what: kind of change and where.  wrong: whether nobody can want it.  meant: the hint it needs.
    key: that a refusal has to name.  flag: of a command line, that makes the change.
    """

    what: str
    config: dict
    wrong: bool
    meant: str | None = None
    key: str = ""
    flag: str = ""

    def named(self, sentence: str) -> bool:
        """Whether a sentence names the key; of a name its block will do."""
        *blocks, key = self.key.split(".")
        return key in sentence or key == "name" and bool(blocks) and blocks[-1] in sentence


class Answer(NamedTuple):
    """What the checks say: a sentence or nothing, in so many seconds."""

    sentence: str | None
    seconds: float


def flagged(config: dict, flag: str) -> dict:
    """The config behind a flag, as a program reads it."""
    argv, chosen = config_file.check_overrides(["m3i", flag], ConfigDict(config))
    values, options = flags.FlagValues(), dict(lock_config=False, accept_new_attributes=True)
    config_flags.DEFINE_config_dict("config", chosen, "", values, **options, sys_argv=argv)
    try:
        values(argv)
    except flags.Error as error:  # which the command line says, as it is
        raise ConfigError(str(error)) from error
    return values.config.to_dict()


def answer(config: dict, flag: str = "", *, deep: bool = False) -> Answer:
    """Anything but a ConfigError is a traceback, and fails the test.

    deep: the abstract state is made, too.
    """
    start = time.process_time()
    try:
        found = Config.of(flagged(config, flag) if flag else config)
        assemble.assemble(found, images=1000) if deep else assemble.check(found)
    except ConfigError as error:
        return Answer(str(error), time.process_time() - start)
    return Answer(None, time.process_time() - start)


def functions(config: dict) -> dict[str, Any]:
    """{path of a block: the function that it is the keywords of}."""
    places = [p for p in schema.places(config) if isinstance(block(config, p.path), dict)]
    return {"": Config} | {place.path: place.function for place in places}


def block(config: dict, path: str) -> dict:
    for part in filter(None, path.split(".")):
        config = config[part]
    return config


def slip(rng, word: str) -> str:
    """One letter inserted, deleted, replaced, or swapped with its neighbour."""
    at, letter = rng.randrange(len(word)), rng.choice(string.ascii_lowercase + "_")
    end = word[at + 1 :]
    return rng.choice([
        word[:at] + letter + word[at:], word[:at] + end, word[:at] + letter + end,
        word[: at - 1] + word[at] + word[at - 1] + end if at else letter + word,
    ])  # fmt: skip


def parameters(fn) -> dict[str, Any]:
    given = ("parent", "name", *bounds.STEPS, "key", "images", "size", "views", "local", "split")
    skipped = given if fn is not Config and fn not in encoders._VARIANTS.values() else given[:2]
    signature = inspect.signature(fn).parameters
    return {key: p.annotation for key, p in signature.items() if key not in skipped}


def misspelt_key(rng, config) -> Draw | None:
    """A key that is there, with a slip."""
    path, fn = rng.choice(sorted(functions(config).items(), key=lambda item: item[0]))
    node = block(config, path)
    keys = [key for key in node if len(key) > 1]
    if not keys:
        return None
    key = rng.choice(keys)
    written = slip(rng, key)
    if not written or written in inspect.signature(fn).parameters or written in node:
        return None
    node[written] = node.pop(key)
    return Draw(f"{path}.{written} for {key}", config, True, key)


def misspelt_name(rng, config) -> Draw | None:
    """The name of a function, with a slip."""
    path = rng.choice([path for path in functions(config) if "name" in block(config, path)])
    node = block(config, path)
    right, written = node["name"], slip(rng, node["name"])
    there = (*encoders.names(), *decoders.names(), *methods.METHODS, *optimizer.offered(),
             *compose.TARGETS, *data.SOURCES, *schema.WEIGHTINGS)  # fmt: skip
    if not written or written in there:
        return None
    node["name"] = written
    return Draw(f"{path}.name = {written} for {right}", config, True, right)


def outside(rng, config) -> Draw | None:
    """A value that its range, or its type, leaves out."""
    path, fn = rng.choice(sorted(functions(config).items(), key=lambda item: item[0]))
    key, annotation = rng.choice(sorted(parameters(fn).items(), key=lambda item: item[0]))
    values = list(bounds.outside(annotation))
    value = rng.choice(values)
    block(config, path)[key] = value
    return Draw(f"{path}.{key} = {ranges.shown(value)}", config, True, key=f"{path}.{key}")


def inside(rng, config) -> Draw | None:
    """A value at an end of its range, or between: huge ones, too."""
    path, fn = rng.choice(sorted(functions(config).items(), key=lambda item: item[0]))
    numbers = {k: a for k, a in parameters(fn).items() if bounds.has_numbers(a)}
    if not numbers:
        return None
    key, annotation = rng.choice(sorted(numbers.items(), key=lambda item: item[0]))
    value = rng.choice(bounds.inside(annotation) or [None])
    block(config, path)[key] = value
    return Draw(f"{path}.{key} = {ranges.shown(value)}", config, False)


ODD = (
    None, True, 0, -1, 1, 3, 10**30, 10**5000, 1e308, 5e-324, -0.0, math.nan, math.inf, "", "1e3",
    "x" * 10**5, [], [[]], {}, {"name": 3}, {"name": ["mae"]}, {"a": {"b": {}}}, [1, "two"],
)  # fmt: skip


def odd(rng, config) -> Draw:
    """Anything anywhere."""
    path = rng.choice(sorted(functions(config)))
    node = block(config, path)
    key = rng.choice(sorted(node) or ["some"])
    node[key] = value = copy.deepcopy(rng.choice(ODD))
    return Draw(f"{path}.{key} = {ranges.shown(value)}", config, False, key=f"{path}.{key}")


def dropped(rng, config) -> Draw:
    """A key less."""
    path = rng.choice([path for path in sorted(functions(config)) if block(config, path)])
    node = block(config, path)
    key = rng.choice(sorted(node))
    del node[key]
    return Draw(f"{path} without {key}", config, False)


WORDS = (
    "", " ", "nan", "inf", "-1", "1e400", "9" * 5000, "[", "{'a': {'a': {}}}", "(" * 300, "日本",
    "a\0b", "None", "True", "(1, 2", "1e3", "0.5", "'", "--", "../../etc/passwd", "x" * 10**5,
    "\udcff", "{**1}", "lambda: 0", "__import__('os').abort()", "{'name': 'mae'}", "\x1b[2J",
)  # fmt: skip


def told(rng, config) -> Draw:
    """Anything as the text of a flag."""
    path = rng.choice(sorted(functions(config)))
    key, text = rng.choice(sorted(block(config, path)) or ["some"]), rng.choice(WORDS)
    flag = f"--{'.'.join(filter(None, ('config', path, key)))}={text}"
    return Draw(f"{flag[:80]!r}", config, False, key=f"{path}.{key}", flag=flag)


KINDS = (misspelt_key, misspelt_name, outside, inside, odd, dropped, told)


@pytest.fixture(scope="module")
def originals():
    return {name: cli.load(name).to_dict() for name in NAMES}


def drawn(rng, originals) -> Draw:
    """A config with a change of any kind."""
    while True:
        config = copy.deepcopy(originals[rng.choice(NAMES)])
        if (draw := rng.choice(KINDS)(rng, config)) is not None:
            return draw


def test_one_thing_wrong_is_a_sentence_at_once_with_the_right_hint(originals, request):
    draws, rng = request.config.getoption("--draws"), random.Random(0)
    accepted, broken, hints, unnamed, slowest = [], [], [], [], Answer(None, 0.0)
    refused = count = deep = 0
    answer(originals[NAMES[0]])  # what is slow once
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(draws):
        draw = drawn(rng, originals)
        try:
            found = answer(draw.config, draw.flag)
            if found.sentence is None and (count := count + 1) % DEEP == 0:
                deep += answer(draw.config, draw.flag, deep=True).sentence is None
        except Exception as error:
            broken.append(f"{draw.what}: {type(error).__name__}: {error}")
            continue
        slowest = max(slowest, Answer(draw.what, found.seconds), key=lambda a: a.seconds)
        said = cli.readable(found.sentence or "")
        refused += bool(said)
        assert said.isprintable() and len(said) < 1000, draw.what
        if draw.wrong and not said:
            accepted.append(draw.what)
        if said and not draw.named(said):
            unnamed.append(f"{draw.what}: {said}")
        if draw.meant:
            hints.append((f"did you mean '{draw.meant}'" in said, draw.what, said))
    share = sum(right for right, *_ in hints) / len(hints)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 2**20
    print(
        f"\n{draws} draws, {refused} refused, {len(unnamed)} without the key; {deep} of those that "
        f"were accepted assembled; {len(hints)} slips, {share:.1%} of the hints right; slowest "
        f"{slowest.seconds:.2f} s ({slowest.sentence}); memory grew {grown:.2f} GiB"
    )
    assert not broken, "\n".join(broken)
    assert not accepted, accepted
    wrong = [(what, said) for right, what, said in hints if not right]
    assert share >= 0.95, wrong
    assert not unnamed, "\n".join(unnamed)
    assert slowest.seconds < SECONDS, slowest
    assert grown < 1
