"""A config for a folder of images, or for any source, made of what a command line wishes."""

import contextlib
import functools
import itertools
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from ml_collections import ConfigDict

from m3i_jax import cli, config_file, shipped
from m3i_jax.build import ConfigError, nearest
from m3i_jax.command_flags import minutes, number, text, whole
from m3i_jax.commands import _runs as runs
from m3i_jax.ranges import Count, Range

CHANGE = "--config."
METHODS = "folder"  # a recipe of every method that images alone are enough for
OTHERS = "digit_scenes"  # our smallest config of every method
PUBLISHED = ("imagenet", "yfcc")
TOKENIZERS = ("vq_vae",)  # whose painter is of one size of patch
DEFAULT = "simclr"  # what learns most of few images in minutes (docs/start.md)
Minutes = Annotated[float, Range(0.5, 1e5)]
Epochs = Annotated[float, Range(0, 1e6, above=True)]

DATA = text("data", None, "The same as a word: a folder, a zip of one, or NAME:KEY=VALUE.")
METHOD = text("method", None, f"What is learnt from; {DEFAULT}. m3i list methods shows them.")
ENCODER = text("encoder", None, "What learns; one that fits. m3i list encoders shows them.")
MINUTES = minutes("minutes", None, "Length; steps are timed first. 10; or as 2h.", limits=Minutes)
EPOCHS = number("epochs", None, "Length: passes over the images.", limits=Epochs)
STEPS = whole("steps", None, "Length.", limits=Count)
LENGTHS = {"minutes": MINUTES, "epochs": EPOCHS, "steps": STEPS}
WISHES = (DATA, METHOD, ENCODER, *LENGTHS.values())
Values = Mapping[str, Any]


class Chosen(NamedTuple):
    """The block of a data set, facts of it and of the machine, and the config that these make."""

    block: dict[str, Any]
    images: Any
    machine: Any
    made: Any


def wished(values: Values, words: Sequence[str]) -> bool:
    """Whether flags and words ask for a config of their own."""
    return bool(words) or any(values[flag.name] is not None for flag in WISHES)


def asked(
    values: Values, words: Sequence[str], argv: Sequence[str], command: contextlib.ExitStack
) -> ConfigDict | None:
    """The config of a command line that asks for one of its own; None where it asks for none.

    command: see `config`.

    Raises:
      ConfigError: --config says another one.
    """
    if not wished(values, words):
        return None
    if config_file.named(argv):
        raise ConfigError(
            "--config says what is run, and a folder, --method and the like ask for a config of "
            "their own; give one of the two"
        )
    return config(values, words, command, said=_over(argv))


def _over(argv: Sequence[str]) -> dict[str, str]:
    """{key: value} that a command line says of the config, as one word or as two."""
    said = {}
    for word, after in itertools.pairwise([*argv, ""]):
        if word.startswith(CHANGE):
            key, equals, value = word.removeprefix(CHANGE).partition("=")
            said[key] = value if equals else after
    return said


def place(values: Values, words: Sequence[str]) -> str:
    """What a command line names as its images.

    Raises:
      ConfigError: nothing, or two things.
    """
    named = [*words, *filter(None, [values["data"]])]
    for one in named:
        _refuse_other(one)
    if len(named) > 1:
        raise ConfigError(
            f"'{named[0]}' and '{named[1]}': a run is of one data set; put folders into one, or "
            "give --config with data.name=mixture"
        )
    if not named:
        flag = next(flag.name for flag in WISHES if values[flag.name] is not None)
        raise ConfigError(
            f"--{flag} is of a folder or a source: m3i pretrain FOLDER, or --data; what a config "
            "file says is changed by --config.KEY=VALUE"
        )
    return named[0]


def _refuse_other(name: str) -> None:
    """Refuses as images what is a run or the config of one.

    Raises:
      ConfigError: with the flag that takes it.
    """
    if runs.is_run(Path(name).expanduser()):
        raise ConfigError(f"'{name}' is a run, no images; --workdir={name} goes on with it")
    file = name.partition(":")[0]
    if file.endswith((".py", ".json")) or file in shipped.names():
        raise ConfigError(f"'{name}' is a config, no images; --config={name} takes it")


def workdir(name: str, method: str) -> str:
    """Where the run of a method on a data set is kept if nobody says it."""
    stem = Path(name.partition(":")[0]).expanduser().resolve().name
    return f"{runs.FOLDER}/{stem.removesuffix('.zip') or 'images'}-{method}"


def config(
    values: Values,
    words: Sequence[str],
    command: contextlib.ExitStack,
    *,
    said: Mapping[str, str] | None = None,
) -> ConfigDict:
    """The config that a command line wishes; says what was chosen, and why.

    command: in which a folder is listed once, for this and for what reads it.
    said: keys that the command line gives values of its own, which come over these.
    """
    name = place(values, words)
    recipe_of(values["method"] or DEFAULT)  # refused before anything is loaded
    wish = _wish(values)
    chosen = choose(name, command, **wish)
    from m3i_jax.training.automatic import config as automatic

    automatic.require_enough(chosen.images, chosen.block)
    _tell(described(chosen.made, chosen.images, chosen.machine, wish["method"], said=said or {}))
    return ConfigDict(chosen.made.config)


def choose(name: str, command: contextlib.ExitStack, **wished: str) -> Chosen:
    """The config of a data set by the rules.

    command: see `config`.  wished: the fields of `facts.Wish`.
    """
    _tell(f"looking at '{name}'")  # before anything is loaded
    from m3i_jax.data.sources import folder_tree
    from m3i_jax.training.automatic import config as automatic
    from m3i_jax.training.automatic import facts, rules
    from m3i_jax.training.waiting import live

    wish = facts.Wish(**wished)
    recipe, published = recipe_of(wish.method), published_of(wish.method)
    command.enter_context(folder_tree.listed_once())
    with _heard("m3i_jax.data.sources", f"counting what is in '{name}'") as latest, live(latest):
        block, images = looked_at(name)
    machine = facts.of_machine()
    if machine.accelerated and images.count >= rules.MANY and published:
        recipe = published
    made = automatic.config(recipe, images, machine, wish, data=block)
    return Chosen(block, images, machine, made)


def looked_at(name: str) -> tuple[dict[str, Any], Any]:
    """The block of a data set, as strictly sorted as it is, and its facts."""
    from m3i_jax.evaluation import datasets
    from m3i_jax.training.automatic import facts

    found = datasets.as_sorted(datasets.block(name))
    if found.why:
        _tell(found.why)
    return found.block, facts.of_source(found.train, test=found.test)


@functools.cache
def recipe_of(method: str) -> dict[str, Any]:
    """What the rules begin with: the method's config of a folder.

    Raises:
      ConfigError: there is no such method, or it needs the weights of another run.
    """
    known = {name.partition("/")[2] for name in shipped.names() if name.startswith(f"{METHODS}/")}
    if method in known:
        return config_file.load(f"{METHODS}/{method}").to_dict()
    other = f"{OTHERS}/{method}"
    if method in TOKENIZERS or other in shipped.names() and config_file.load(other).weights:
        raise ConfigError(
            f"--method={method} makes tokens for other methods, or needs the weights of another "
            f"run; look at m3i pretrain --config {other} --show"
        )
    raise ConfigError(f"--method: there is no method '{method}'{nearest(method, known)}")


@functools.cache
def published_of(method: str) -> dict[str, Any]:
    """The method's published config; {} where there is none."""
    for folder in PUBLISHED:
        for name in shipped.names():
            if name.startswith(f"{folder}/{method}_"):
                config = config_file.load(name).to_dict()
                if config["objective"]["name"] == method:
                    return config
    return {}


def _wish(values: Values) -> dict[str, str]:
    """What the flags wish, as the fields of `facts.Wish`.

    Raises:
      ConfigError: two lengths.
    """
    said = {name: values[name] for name in LENGTHS if values[name] is not None}
    if len(said) > 1:
        raise ConfigError(f"--{' and --'.join(said)} both say how long the run is; give one")
    length = " ".join(f"{value:g} {unit}" for unit, value in said.items()) or "10 minutes"
    encoder = values["encoder"] or ""
    return {"method": values["method"] or DEFAULT, "encoder": encoder, "duration": length}


def described(made: Any, images: Any, machine: Any, method: str, *, said: Mapping[str, str]) -> str:
    """What was found and what was chosen, a line each; said: see `config`."""
    from m3i_jax.training.resolved import under

    kind = "accelerators" if machine.accelerated else "CPU"
    labelled = f"{images.labelled} with a label of {images.classes} classes"
    lines = [
        f"found: {images.count} images, {labelled if images.labels else 'no labels'}, "
        f"{'captions' if images.captioned else 'no captions'}; short side {images.side} pixels"
        f"{', grey' if images.grey else ''}; {machine.cores} cores, {machine.devices} {kind}",
        f"chosen: {method}; over it --config.KEY=VALUE, all of it --show, to edit "
        "--save_config FILE.py",
    ]
    for key, why in made.why.items():
        value = said.get(key, under(made.config, key))
        lines.append(f"  {f'{key} = {value}':34} {'as you say' if key in said else why}")
    return "\n".join(lines)


@contextlib.contextmanager
def _heard(logger: str, text: str) -> Iterator[Callable[[], str]]:
    """() -> the latest of what a logger says while the log is not open yet, at first the text."""
    said, handler, own = [text], logging.Handler(), logging.getLogger(logger)
    handler.emit = lambda record: said.append(record.getMessage())
    level = own.level
    own.addHandler(handler)
    own.setLevel("INFO")
    try:
        yield lambda: said[-1]
    finally:
        own.removeHandler(handler)
        own.setLevel(level)


def _tell(text: str) -> None:
    """What is said before the log is."""
    cli.fresh_line()
    print(text, file=sys.stderr, flush=True)


def compare(workdir: str) -> None:
    """Measures the encoder, the untrained one and pixels on images that were not trained on."""
    from m3i_jax.build import UserError
    from m3i_jax.training.waiting import live

    with live("loading the code that compares encoders"):
        from m3i_jax.evaluation import cache, datasets, named, run, tables, tasks
        from m3i_jax.evaluation.models import with_baselines

        model = named.model(workdir, branch="ema", step=None, image=None)
    on = datasets.of_run(model)
    chosen = tasks.create([{"name": "linear"}, {"name": "knn"}], what="--task")
    try:
        settings = dict(batch=64, cache=cache.writable(), quiet=True)
        logging.getLogger("m3i_jax.evaluation").setLevel("WARNING")  # steps of it are no news here
        with live("comparing encoder, untrained encoder and pixels"):
            found = run.evaluate(chosen, with_baselines(model), on=[on], **settings)
    except UserError as error:  # such as images without labels
        _tell(f"no probe: {error}")
        found = []
    if found:
        print(tables.compared(found), flush=True)
    parted(workdir)


def parted(workdir: str) -> None:
    """Says where all of a run is, and what may be asked of it next, of one process."""
    import jax

    if not jax.process_index():
        _tell(
            f"all of it: {workdir}/report.html; more: m3i evaluate {workdir} --baselines, "
            f"m3i embed {workdir} --out features.npz, m3i export {workdir}"
        )
