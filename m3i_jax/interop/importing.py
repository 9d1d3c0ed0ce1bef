"""Weights of others in our parameter tree: read, renamed, made to fit, accounted for.

Paths start with `encoders/<tower>/`, `decoders/<name>/` or, for a target's, `ema/encoders/...`.
"""

import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.interop import adapt, beside, files, layouts, onnx_file
from m3i_jax.interop.rename import Layout, listed, to_ours
from m3i_jax.interop.statement import Fact, Stated
from m3i_jax.ranges import shown
from m3i_jax.types import Grid

TABLES = (adapt.POSITIONS, adapt.RELATIVE)
STEM = "encoders/image/patch_embed/"  # what looks at the images, (p, p, channels, D)
MOST, LONGEST = 100_000, 500  # weights of a network, letters of a name: far beyond any there is
COUNTER = "num_batches_tracked"  # of torch's batch norms, which nobody reads
_MODULE = re.compile(r"((?:ema/)?(?:encoders|decoders)/[^/]+)/(.+)")


class Imported(NamedTuple):
    """A file in our names, before anything was made to fit.

    params: path -> float32 array.  dropped: keys of the file that have no use here.
    stated: what lies beside it and says more of its networks.
    """

    path: str
    layout: Layout
    params: dict[str, np.ndarray]
    dropped: tuple[str, ...]
    stated: Stated = Stated()


class Report(NamedTuple):
    """What of a file was taken: our paths, and a sentence for every change.

    matched: wanted and there.  missing: wanted only.  extra: in the file only.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        matched = f"matched {len(self.matched)}"
        odd = [_counted("missing", self.missing), _counted("extra", self.extra)]
        return "\n".join([matched, *odd, *self.notes])


def read(path: str | Path, *, layout: str = layouts.AUTO, encoder: str = "ENCODER") -> Imported:
    """A safetensors or ONNX file, or the folder of one, in our names, and what is said beside it.

    encoder: our name of the one that is to be filled, for the command that converts a torch file.

    Raises:
      ConfigError: no such file, a torch file, keys that the layout does not know, or a network
        that no encoder of ours is.
    """
    file = files.located(path)
    if file is None:
        raise ConfigError(f"there is no {files.WEIGHTS} at '{path}'")
    if file.suffix == onnx_file.SUFFIX:
        return with_stated(_of_graph(file, layout, what=f"'{path}'"), file)
    imported = renamed(files.read(file, encoder=encoder), layout=layout, what=f"'{path}'")
    return with_stated(imported, file)


def _counted(what: str, names: tuple[str, ...]) -> str:
    """How many there are, and which."""
    return f"{what} {len(names)}" + (f": {', '.join(names)}" if names else "")


def _of_graph(file: Path, layout: str, *, what: str) -> Imported:
    """The module of an ONNX file that a layout knows; the others are left out."""
    graph = onnx_file.read(file)
    prefix = layouts.module_of(graph.arrays, layout=layout)
    own = {k.removeprefix(prefix): x for k, x in graph.arrays.items() if k.startswith(prefix)}
    imported = renamed(own, layout=layout, what=what)
    others = tuple(key for key in graph.arrays if not key.startswith(prefix))
    imported = imported._replace(dropped=imported.dropped + others)
    shown = beside.sizes(by_module(imported.params).get("encoders/image", {}))
    if not shown:
        return imported
    told = onnx_file.facts(graph, prefix, width=shown["width"])
    guess = () if "heads" in told else (f"heads={shown['heads']} is a guess: no node shows them",)
    facts = {field: Fact(x, f"the shapes in {what}") for field, x in shown.items()} | told
    return imported._replace(stated=Stated("vit_b16", facts, notes=guess))


def with_stated(imported: Imported, path: str | Path) -> Imported:
    """With what is said beside the weights at `path`.

    Raises:
      ConfigError: a network that no encoder of ours is, or images that its weights do not see.
    """
    stated = beside.read(path, names=imported.stated)
    paths = sorted(imported.params)
    stems = (imported.params[path] for path in paths if path.startswith(STEM))
    has = next((x.shape[2] for x in stems if x.ndim == 4), None)
    if stated.channels and has not in (None, stated.channels.value):
        raise ConfigError(
            f"{imported.path} has weights for images of {has} channels, and "
            f"{stated.channels.value} in {stated.channels.where}"
        )
    return imported._replace(stated=stated)


def renamed(state: Mapping[str, np.ndarray], *, layout: str = layouts.AUTO, what: str) -> Imported:
    """A state dict in our names; `what` names it in errors.

    Raises:
      ConfigError: keys that no network has, or that the layout does not know, or weights that are
        no finite numbers.
    """
    _check_names(state, what)
    of_layout, places = layouts.recognise(state, layout=layout, what=what)
    for _, slices in places.leaves.values():
        for key in itertools.chain(*slices.values()):
            _check_numbers(state[key], f"{what} has '{key}'")
    # DINOv3 without registers has a row of none.
    there = {path: x for path, x in to_ours(state, places).items() if x.size}
    if layout == layouts.AUTO and (meant := of_layout.meant(there)):
        return renamed(state, layout=meant, what=what)
    params = dict(of_layout.ours(there))
    stated = beside.by_names(places.prefix, there | params)
    return Imported(what, of_layout, params, places.dropped, stated)


def _check_names(state: Mapping[str, np.ndarray], what: str) -> None:
    """Refuses more names, and longer ones, than any network has: patterns are looked for in all."""
    if len(state) > MOST:
        raise ConfigError(f"{what} has {len(state)} weights, expected at most {MOST}")
    strange = next((key for key in state if len(key) > LONGEST or not key.isprintable()), None)
    if strange is not None:
        raise ConfigError(f"{what} has {shown(strange)}, which is no name of a weight")


def _check_numbers(leaf: np.ndarray, what: str) -> None:
    """Refuses what no weight is: integers, which are quantised, and numbers that are not finite."""
    leaf = np.asarray(leaf)
    if leaf.dtype.kind in "biuc":
        raise ConfigError(f"{what} as {leaf.dtype}, and weights are floating-point numbers")
    with np.errstate(over="ignore"):
        strange = np.size(leaf) - np.count_nonzero(np.isfinite(np.asarray(leaf, np.float32)))
    if strange:
        raise ConfigError(
            f"{what} with {strange} of {np.size(leaf)} numbers that are not finite in float32; "
            "such a network computes nothing"
        )


def fitted(
    imported: Imported,
    wanted: Mapping[str, Any],
    *,
    grid: Grid | None = None,
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The parameters of a file, those of modules that are wanted in their shapes where possible.

    Args:
      imported: the file.
      wanted: shapes by path; those of a target are those of the online network.
      grid: of the wanted image encoder; the file's own is in what it states.

    Returns:
      Everything by path, and a sentence for every change.
    """
    modules, shapes = by_module(imported.params), by_module(wanted)
    notes, swapped, source = [], False, imported.stated.grid
    for name in sorted(modules, key=lambda name: (not name.startswith("encoders/"), name)):
        params, plain = modules[name], name.removeprefix("ema/")
        shape = shapes.get(plain)
        if shape is None:
            continue
        fit, changes = adapt.fit(params, shape, grid=grid, source=source)
        if plain == "encoders/image" and adapt.POSITIONS in params.keys() - fit.keys():
            swapped |= adapt.fixed(params[adapt.POSITIONS], source or grid) == "columns"
        modules[name] = fit
        notes += [f"{name}: {change}" for change in changes]
    for name, params in modules.items():
        # A decoder reads the encoder's channels in the order that they now have.
        if "decoders/" in name and swapped:
            modules[name] = adapt.reading_swapped(params)
            if name in imported.layout.predicts:
                modules[name] = adapt.predicting_swapped(modules[name])
    return {f"{name}/{p}": x for name, tree in modules.items() for p, x in tree.items()}, notes


def by_module(flat: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Leaves by module and by path within: {"encoders/image": {"norm/bias": ...}, ...}."""
    modules: dict[str, dict[str, Any]] = {}
    for path, leaf in flat.items():
        module, within = _MODULE.fullmatch(path).groups()
        modules.setdefault(module, {})[within] = leaf
    return modules


def report(
    leaves: Mapping[str, Any], wanted: Mapping[str, Any], *, notes: list[str], what: str
) -> Report:
    """What of `leaves` is wanted, by path.

    Raises:
      ConfigError: leaves of different shapes, all of them.
    """
    both = sorted(leaves.keys() & wanted.keys())
    wrong = [
        f"{path} is {list(leaves[path].shape)}, wanted {list(wanted[path].shape)}"
        for path in both
        if leaves[path].shape != wanted[path].shape
    ]
    if wrong:
        raise ConfigError(f"{what} does not fit: {'; '.join(wrong)}")
    missing, extra = sorted(wanted.keys() - leaves.keys()), sorted(leaves.keys() - wanted.keys())
    return Report(tuple(both), tuple(missing), tuple(extra), tuple(notes))


def complete(account: Report, layout: Layout, *, ignore: str = "", what: str) -> None:
    """Refuses a file with too much or too little of what is wanted.

    ignore: pattern of paths that may be missing or extra.

    Raises:
      ConfigError: naming all paths, and the fields that encoders of such files usually have.
    """
    allowed = (lambda path: bool(re.search(ignore, path))) if ignore else (lambda path: False)
    missing, extra = (
        [path for path in paths if not allowed(path)] for paths in (account.missing, account.extra)
    )
    if not missing and not extra:
        return
    lines = [f"it lacks {', '.join(missing)}"] * bool(missing)
    lines += [f"it has {', '.join(extra)}, which the encoder has not"] * bool(extra)
    hint = advice(layout)
    raise ConfigError(f"{what} does not fit: {'; '.join(lines)}{'. ' if hint else ''}{hint}")


def left(imported: Imported) -> list[str]:
    """A sentence on the keys of a file that have no use here, if there are any."""
    keys = [key for key in imported.dropped if not key.endswith(COUNTER)]
    return [f"left out, of no use here: {listed(keys)}"] if keys else []


def advice(layout: Layout) -> str:
    """What encoders of such files usually are; some of it no parameter would tell."""
    usual = ", ".join(f"{key}={value!r}" for key, value in layout.encoder.items())
    return f"Encoders of layout '{layout.name}' usually have {usual}" if usual else ""
