"""What a run would be, from its config alone: shapes are checked, nothing is allocated."""

import math
import re
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from m3i_jax import trees
from m3i_jax.build import ConfigError
from m3i_jax.framework import RegionCode
from m3i_jax.training import frozen, unused
from m3i_jax.training.assemble import Run, assemble, check
from m3i_jax.training.config import Config
from m3i_jax.training.planning import activations


def plan(config: Config) -> str:
    """The run as text: lengths, terms, parameters by part, bytes per device.

    Traces one step on the config's batch, so everything that depends on shapes is checked.
    Lengths in epochs need `epoch_size`, as there is no data set to ask.
    """
    run = assemble(config, images=config.epoch_size)
    with jax.set_mesh(run.mesh):
        _, metrics = jax.eval_shape(run.step(), run.abstract, run.batch_shape())
    ways = run.mesh.shape["data"] * run.mesh.shape["fsdp"]
    rows = config.batch / config.accumulate / ways
    lines = [
        f"{run.total} steps of {config.batch} images on "
        + " x ".join(f"{n} {name}" for name, n in run.mesh.shape.items()),
        "",
        "codes",
        *(f"  {name:<18} {_code(code)}" for name, code in run.method.codes.items()),
        "terms",
        *(f"  {name:<18} {_term(term)}" for name, term in run.method.terms.items()),
        "parameters",
        *_parameters(run),
        "bytes per device",
        *(f"  {name:<18} {_megabytes(size)}" for name, size in of_state(run).items()),
        f"  {'activations':<18} {_megabytes(rows * activations.per_image(run).held)}"
        f"  kept for the backward pass of {rows:g} images",
        *split_over_devices(run),
        f"logged: {', '.join(sorted(metrics))}",
    ]
    return "\n".join(lines)


def doubts(config: Config) -> Iterator[str]:
    """What a start of this config would warn of, or refuse for weights that are not there yet.

    A plan is made where there need not be any, so nothing here refuses it.
    """
    parts = check(config)
    yield from unused.sentences(config, parts.method)
    try:
        frozen.check(config, parts.method)
    except ConfigError as error:
        yield str(error)
    yield from frozen.missing(config)


def _code(code) -> str:
    if isinstance(code, RegionCode):
        return f"{code.region} image of {code.code}"
    hidden = f", {100 * code.mask.hidden:.0f} % hidden" if code.mask else ""
    return f"{code.encoder.name} of view {code.view}{hidden}"


def _term(term) -> str:
    regularizer = f", {term.regularize.name}" if term.regularize else ""
    weight = f" x {term.weight:g}" if term.weight != 1 else ""
    by = f"by decoder {term.decoder}" if term.decoder else "as it is"
    return (
        f"{term.x} -> {term.y} {by}: {term.predict.name}{regularizer} "
        f"on {term.positions}{weight} [{term.group}]"
    )


def _parameters(run: Run) -> list[str]:
    rows = [
        (f"{kind}/{name}", trees.count(trees.drop(tree, trees.STATISTICS)))
        for kind, group in run.abstract.params.items()
        for name, tree in group.items()
    ]
    rows.append(("trained", sum(count for _, count in rows)))
    for name, slot in run.method.slots.items():
        if slot.frozen:
            rows.append((name, trees.count(run.abstract.slots[name])))
    return [f"  {name:<18} {count:>15,}" for name, count in rows]


def of_state(run: Run) -> dict[str, int]:
    """Bytes that each part of the state takes on one device."""
    parts = {"online": lambda state: state.params, "EMA": lambda state: state.slots["ema"]}
    slots = [name for name in run.abstract.slots if name != "ema"]
    parts |= {name: lambda state, name=name: state.slots[name] for name in slots}
    parts |= {"optimizer": lambda state: state.optimizer}
    return {n: _per_device(part(run.abstract), part(run.shardings)) for n, part in parts.items()}


def _per_device(tree: Any, split: Any) -> int:
    """Bytes of a tree on one device that is split so."""
    sizes = jax.tree.map(
        lambda x, s: math.prod(s.shard_shape(x.shape)) * np.dtype(x.dtype).itemsize, tree, split
    )
    return sum(jax.tree.leaves(sizes))


def split_over_devices(run: Run) -> list[str]:
    """How parameters lie on the mesh, layers of a kind on one line; nothing where all are whole."""
    found: dict[tuple[str, str], int] = {}
    leaves = trees.named_leaves(run.abstract.params)
    for (path, leaf), (_, where) in zip(
        leaves, trees.named_leaves(run.shardings.params), strict=True
    ):
        axes = [axis if isinstance(axis, str) or axis is None else "+".join(axis)
                for axis in where.spec]  # fmt: skip
        axes += [None] * (leaf.ndim - len(axes))
        if any(axes):
            shape = " x ".join(
                f"{n} over {a}" if a else f"{n}" for n, a in zip(leaf.shape, axes, strict=True)
            )
            kind = re.sub(r"(?<=[/_])\d+", "*", path), shape
            found[kind] = found.get(kind, 0) + 1
    if not found:
        return []
    rest = len(leaves) - sum(found.values())
    rows = [
        f"  {path:<48} {shape}{f'   {count} times' if count > 1 else ''}"
        for (path, shape), count in found.items()
    ]
    return ["split over devices", *rows, f"  whole on every device: {rest} others"]


def _megabytes(count: int) -> str:
    return f"{count / 2**20:>12,.1f} MiB"
