"""What a step needs of chips that are not here, by formula: memory, products, traffic, sums.

A run is traced once, on one device; what it takes on any number of chips follows by arithmetic, so
that many ways to lay it out can be compared. `ahead` compiles the one that is chosen.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax

from m3i_jax import decoders, encoders, trees
from m3i_jax.parallel import sharding
from m3i_jax.training.assemble import assemble
from m3i_jax.training.config import Config
from m3i_jax.training.planning import activations, flops
from m3i_jax.training.planning.peaks import Chip
from m3i_jax.training.state import TrainState

# Bytes between chip and memory, fitted to compiled programs (docs/benchmarks.md). Of blocks: of a
# FLOP at width 768, as a product of twice the width computes twice as much with each number. Of
# convolutions, where that is more: so many times what the derivative holds. Of an update, so many
# times its state.
PER_FLOP = 3.9e-3
CROSSINGS = 2.4
UPDATES = 2.5
# Of a chip's memory, what a program can have.
USABLE = 0.95


class Layout(NamedTuple):
    """How a run lies on chips: sizes of the axes of its mesh, and micro-batches."""

    data: int
    fsdp: int = 1
    zero1: bool = False
    accumulate: int = 1


class Traced(NamedTuple):
    """What of a run is the same on any number of chips.

    state: shapes.  held, kept: bytes of an image for the backward pass, see `Activations`.
    products: FLOPs of an image.  steps: of the whole run.  batch: images of a step.
    dtype: of products.  width: of the encoder.  rules: how leaves are kept, of config.mesh.
    """

    state: TrainState
    held: float
    kept: float
    products: float
    steps: int
    batch: int
    dtype: str
    width: int
    rules: Sequence[sharding.Rule] = ()


class Needs(NamedTuple):
    """What a step needs of each chip.

    memory: bytes by what they hold.  products: FLOPs.  traffic: bytes between chip and memory.
    sent: bytes that leave it for others.
    """

    memory: dict[str, float]
    products: float
    traffic: float
    sent: float

    @property
    def peak(self) -> float:
        """Bytes in all."""
        return sum(self.memory.values())

    def seconds(self, chip: Chip, dtype: str) -> dict[str, float]:
        """The least time of a step by what takes it: a step takes as long as the longest."""
        return {
            "products": self.products / (chip.flops[dtype] * 1e12),
            "traffic": self.traffic / (chip.bandwidth * 1e9),
            "links": self.sent / (chip.link * 1e9),
        }


def waiting(times: Mapping[str, float]) -> float:
    """Share of a step that is spent on links where nothing overlaps with them.

    times: seconds as `Needs.seconds` gives them.
    """
    others = max(times["products"], times["traffic"])
    return times["links"] / (others + times["links"])


def traced(config: Config, *, remat: str | None = None) -> Traced:
    """Traces a run on one device, with attention as accelerators do it.

    remat: what all blocks recompute, as the config says by default.
    """
    one, rules = replace(recomputing(config, remat=remat), mesh={}), config.mesh.get("rules", ())
    run = assemble(one, images=config.epoch_size, devices=jax.devices("cpu")[:1])
    width = run.network.towers["image"].width
    also = run.total, config.batch, config.dtype, width, rules
    return Traced(run.abstract, *activations.per_image(run), flops.executed(run), *also)


def needs(run: Traced, layout: Layout, *, fused: bool = True) -> Needs:
    """What a step of a run needs of each of data x fsdp chips.

    fused: whether convolutions read what is computed on the way, see `Chip`.
    """
    ways = layout.data * layout.fsdp
    parts = of_state(run.state, layout, rules=run.rules)
    trained = trees.count(run.state.params) * 4
    split = ways if layout.zero1 else layout.fsdp
    rows = run.batch / ways
    held, products = rows * run.held, rows * run.products
    passes = rows * run.kept if fused else held
    # With micro-batches the sum of the gradients stands beside those of the next.
    grads = trained / split * (1 if layout.accumulate == 1 else 2)
    memory = parts | {"gradients": grads, "activations": passes / layout.accumulate}
    wide = 1 if run.dtype == "bfloat16" else 2
    moved = max(CROSSINGS * held, PER_FLOP * wide * 768 / run.width * products)
    moved += UPDATES * (sum(parts.values()) + trained / split)
    return Needs(memory, products, moved, _sent(trained, layout, run.dtype))


def of_state(
    state: TrainState, layout: Layout, *, rules: Sequence[sharding.Rule] = ()
) -> dict[str, float]:
    """Bytes of each part of the state on one chip; rules: of config.mesh."""
    mesh = sharding.absent(layout.data, layout.fsdp)
    split = sharding.of_state(state, mesh, {"zero1": layout.zero1, "rules": rules})

    def size(tree: Any, split: Any) -> float:
        """Bytes of one chip's shards."""
        one = lambda x, s: math.prod(s.shard_shape(x.shape)) * x.dtype.itemsize  # noqa: E731
        return float(sum(jax.tree.leaves(jax.tree.map(one, tree, split))))

    parts = {"online": size(state.params, split.params)}
    parts |= {"optimizer": size(state.optimizer, split.optimizer)}
    return parts | {name: size(state.slots[name], split.slots[name]) for name in state.slots}


def _sent(trained: float, layout: Layout, dtype: str) -> float:
    """Bytes that a chip sends: a sum of gradients in a ring, weights that are gathered.

    A ring of n sends (n-1)/n of an array to scatter its sum, and as much to gather it.
    """
    ways, part = layout.data * layout.fsdp, (layout.fsdp - 1) / layout.fsdp
    once = trained * (ways - 1) / ways
    if layout.fsdp == 1:
        return 2 * once
    gathered = 2 * (2 if dtype == "bfloat16" else 4) / 4 * trained * part  # forwards and backwards
    return gathered * layout.accumulate + trained * part + 2 * (once - trained * part)


def recomputing(config: Config, *, remat: str | None = None) -> Config:
    """The config with attention that keeps no weights, and a policy of recomputation, if any."""
    wanted: dict[str, Any] = {"attention": "recompute"} | ({"remat": remat} if remat else {})

    def changed(block: Mapping[str, Any], variant) -> dict[str, Any]:
        accepted = flops.keywords(variant(block["name"]))
        own = {key: value for key, value in wanted.items() if key in accepted}
        return dict(block) | own

    return replace(
        config,
        encoder=changed(config.encoder, encoders.variant),
        towers={name: changed(block, encoders.variant) for name, block in config.towers.items()},
        decoders={
            name: changed(block, decoders.variant) for name, block in config.decoders.items()
        },
    )
