"""Parameters of an encoder without a head or a block: where the blocks are, and what ends them.

Blocks count from 1 over all stages, heads from 1. Both may be traced, so that one compiled program
does without each in turn.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int

from m3i_jax import trees
from m3i_jax.build import ConfigError
from m3i_jax.types import Array

Params = dict[str, Any]
Number = int | Int[Array, ""]
PROJECTION = "attn/proj/kernel"  # of a block: the rows of a head are what it adds


class Stack(NamedTuple):
    """Blocks of one stage.

    path: of their parameters.  first: the number of the first one, from 1, over all stages.
    depth: how many there are, stacked along a leading axis; 0 = one, whose leaves have none.
    """

    path: str
    first: int
    depth: int


def stacks(module: Any) -> list[Stack]:
    """Where the blocks of an encoder are, in order."""
    if type(module).__name__ == "ViT":
        return [Stack("blocks/", 1, module.depth)]
    if not (depths := getattr(module, "depths", ())):
        raise ConfigError(f"a {type(module).__name__} has no blocks to take out")
    firsts = np.cumsum([1, *depths])
    if type(module).__name__ == "ResNet":
        return [
            Stack(f"stages_{stage}/blocks_{number}/", int(firsts[stage]) + number, 0)
            for stage, depth in enumerate(depths)
            for number in range(depth)
        ]
    return [
        Stack(f"stages_{stage}/blocks/", int(firsts[stage]), depth)
        for stage, depth in enumerate(depths)
    ]


def blocks(module: Any) -> int:
    """How many blocks an encoder has."""
    last = stacks(module)[-1]
    return last.first + max(last.depth, 1) - 1


def heads(module: Any) -> list[int]:
    """How many heads each block has, [] of an encoder without attention."""
    count = getattr(module, "heads", None)
    if count is None:
        return []
    if isinstance(count, int):
        return [count] * module.depth
    return [of for of, depth in zip(count, module.depths, strict=True) for _ in range(depth)]


def head_removed(params: Params, module: Any, block: Number, head: Number) -> Params:
    """Parameters of an encoder without one head: its rows of the projection are zero.

        attn(x) = Σ_h A_h V_h W_h + b,  W_h = 0

    block, head: from 1; may be traced.
    """
    counts = dict(zip((s.path for s in stacks(module)), _stage_heads(module), strict=True))

    def cut(path, stack, leaf):
        if path != PROJECTION:
            return leaf
        of_head = jnp.arange(leaf.shape[1]) // (leaf.shape[1] // counts[stack.path]) == head - 1
        out = _here(stack, block)[:, None] & of_head[None]
        return jnp.where(out[..., None], 0.0, leaf)

    return _changed(params, module, cut)


def block_removed(params: Params, module: Any, block: Number) -> Params:
    """Parameters of an encoder without one block: what ends its residual branches is zero.

    So x + f(x) is x. The convolution that a ResNet has beside the first block of a stage stays, and
    so do InternImage's norms behind a block.

    block: from 1; may be traced.
    """
    ends = re.compile(_ends(module))

    def cut(path, stack, leaf):
        if not ends.match(path):
            return leaf
        if not stack.depth:
            return jnp.where(block == stack.first, 0.0, leaf)
        return jnp.where(_here(stack, block).reshape(-1, *[1] * (leaf.ndim - 1)), 0.0, leaf)

    return _changed(params, module, cut)


def _here(stack: Stack, block: Number) -> Bool[Array, " depth"]:
    """(depth,) bool, which one of a stack a block is."""
    return stack.first + jnp.arange(stack.depth) == block


def _stage_heads(module: Any) -> Sequence[int]:
    """Heads of each stack."""
    count = getattr(module, "heads", None)
    if count is None:
        raise ConfigError(f"a {type(module).__name__} has no heads to take out")
    return (count,) if isinstance(count, int) else count


def _ends(module: Any) -> str:
    """Pattern of what each residual branch of a block is multiplied by last."""
    kind = type(module).__name__
    if kind == "ViT":
        return r"(attn/proj|mlp/(fc2|w3))/"
    if kind == "SwinV2":
        return r"norm[12]/"
    if kind == "RepLKNet":
        return r"(pw2|mlp/fc2)/norm/(scale|bias)$"
    if kind == "ResNet":
        return rf"norm{3 if module.block == 'bottleneck' else 2}/(scale|bias)$"
    if module.layer_scale is not None:
        return r"gamma[12]$"
    return {"post": r"norm[12]/", "res_post": r"res_post_norm[12]/"}.get(
        module.norm, r"(dcn/output_proj|mlp/fc2)/"
    )


def _changed(params: Params, module: Any, change: Callable[[str, Stack, Array], Array]) -> Params:
    """The parameters with `change(path in its block, stack, leaf)` of every leaf of a block."""
    where = stacks(module)

    def leaf_of(path, leaf):
        for stack in where:
            if path.startswith(stack.path):
                return change(path.removeprefix(stack.path), stack, leaf)
        return leaf

    return trees.map_with_name(leaf_of, params)
