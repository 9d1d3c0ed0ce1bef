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
from m3i_jax.training.planning import activations, flops, operands, shares
from m3i_jax.training.planning.peaks import Chip
from m3i_jax.training.state import TrainState

# Bytes between chip and memory, fitted to compiled programs (docs/benchmarks.md): so many times
# what the backward pass keeps; what products read and write of arrays too large to stay on the
# chip, and as much for what is done to them in between; pixels that are augmented; the state.
CROSSINGS = 3.0
SPILLS = 2.0
AUGMENTING = 30.0
UPDATES = 3.0
# Bytes of an array that stays on the chip, of 2^27 of a v5e.
ON_CHIP = 2**25
# Of a chip's memory, what a program can have.
USABLE = 0.95


class Layout(NamedTuple):
    """How a run lies on chips: sizes of the axes of its mesh, and micro-batches."""

    data: int
    fsdp: int = 1
    zero1: bool = False
    accumulate: int = 1
    tensor: int = 1

    @property
    def chips(self) -> int:
        """All of them."""
        return self.data * self.fsdp * self.tensor


class Traced(NamedTuple):
    """What of a run is the same on any number of chips, of which `tensor` share a layer.

    state: shapes.  held, kept: bytes of an image for the backward pass, see `Activations`.
    products: FLOPs of an image, those of one such chip.  operands: what products read and write,
    see `operands.of`.  summed: bytes of gradients that devices sum, see `operands.summed`.
    followed: bytes of the average that a target passes its views through; 0 without one.
    frozen: bytes of networks of the state that pass views and are not trained.
    augmented: bytes of an image's views, in float32, that the step augments.
    steps: of the whole run.  batch: images of a step.  dtype: of products.
    rules: how leaves are kept, of config.mesh.
    across: bytes of an image that chips along `tensor` sum.
    """

    state: TrainState
    held: float
    kept: float
    products: float
    operands: tuple[operands.Operand, ...]
    summed: float
    followed: float
    augmented: float
    steps: int
    batch: int
    dtype: str
    rules: Sequence[sharding.Rule] = ()
    across: float = 0.0
    frozen: float = 0.0

    @property
    def width(self) -> int:
        """Bytes of a number as products take it."""
        return operands.WIDTHS[self.dtype]


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


def traced(config: Config, *, remat: str | None = None, tensor: int = 1) -> Traced:
    """Traces a run on one device, or on `tensor` that need not be there, with attention as
    accelerators do it.

    remat: what all blocks recompute, as the config says by default.
    """
    one = replace(recomputing(config, remat=remat), mesh={})
    run = assemble(one, images=config.epoch_size, devices=jax.devices("cpu")[:1])
    run = run._replace(mesh=sharding.absent(1, 1, tensor=tensor))
    step, held = flops.step(run), activations.per_image(run)
    share = shares.of_step(step, tensor)
    rows = config.batch // config.accumulate
    follows = any(code.encoder.owner == "ema" for code in run.method.encoded.values())
    views = run.batch_shape().images
    frozen = [run.abstract.slots[name] for name, slot in run.method.slots.items() if slot.frozen]
    pixels = sum(x.size for view, x in views.items() if config.augment.get(view))
    return Traced(
        state=run.abstract,
        held=held.held,
        kept=held.kept,
        products=share.products / config.batch,
        operands=operands.of(step, rows, dtype=config.dtype),
        summed=operands.summed(step, run.abstract.params),
        followed=4 * trees.count(run.abstract.slots["ema"]) if follows else 0.0,
        augmented=4 * pixels / config.batch,
        steps=run.total,
        batch=config.batch,
        dtype=config.dtype,
        rules=config.mesh.get("rules", ()),
        across=share.summed / config.batch,
        frozen=sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(frozen)),
    )


def needs(run: Traced, layout: Layout, *, fused: bool = True) -> Needs:
    """What a step of a run needs of each of data x fsdp x tensor chips.

    run: traced for so many along `tensor`.
    fused: whether convolutions read what is computed on the way, see `Chip`.
    """
    ways = layout.data * layout.fsdp
    parts = of_state(run.state, layout, rules=run.rules)
    # What chips of one place along `tensor` have together.
    together = Layout(1, tensor=layout.tensor)
    trained = of_state(run.state, together, rules=run.rules)["online"]
    split = ways if layout.zero1 else layout.fsdp
    rows = run.batch / ways
    kept = rows * (run.kept if fused else run.held)
    # With micro-batches the sum of the gradients stands beside those of the next.
    grads = trained / split * (1 if layout.accumulate == 1 else 2)
    memory = parts | {"gradients": grads, "activations": kept / layout.accumulate}
    moved = CROSSINGS * kept + SPILLS * _spilled(run, rows, layout.accumulate)
    moved += AUGMENTING * rows * run.augmented
    moved += UPDATES * (sum(parts.values()) + trained / split)
    # Gradients and weights of a share; a ring sends a sum twice.
    part = trained / (4 * trees.count(run.state.params))
    own = run._replace(summed=part * run.summed, followed=part * run.followed)
    sent = _sent(own, trained, layout)
    sent += 2 * (layout.tensor - 1) / layout.tensor * rows * run.across
    return Needs(memory, rows * run.products, moved, sent)


def _spilled(run: Traced, rows: float, accumulate: int) -> float:
    """Bytes of what products read and write that are too large to stay on the chip."""
    large = (one for one in run.operands if one.size * rows / accumulate > ON_CHIP)
    return sum(rows * one.size * one.times for one in large)


def of_state(
    state: TrainState, layout: Layout, *, rules: Sequence[sharding.Rule] = ()
) -> dict[str, float]:
    """Bytes of each part of the state on one chip; rules: of config.mesh."""
    mesh = sharding.absent(layout.data, layout.fsdp, tensor=layout.tensor)
    split = sharding.of_state(state, mesh, {"zero1": layout.zero1, "rules": rules})

    def size(tree: Any, split: Any) -> float:
        """Bytes of one chip's shards."""
        one = lambda x, s: math.prod(s.shard_shape(x.shape)) * x.dtype.itemsize  # noqa: E731
        return float(sum(jax.tree.leaves(jax.tree.map(one, tree, split))))

    parts = {"online": size(state.params, split.params)}
    parts |= {"optimizer": size(state.optimizer, split.optimizer)}
    return parts | {name: size(state.slots[name], split.slots[name]) for name in state.slots}


def _sent(run: Traced, trained: float, layout: Layout) -> float:
    """Bytes that a chip sends: sums of gradients in a ring, weights that are gathered.

    A ring of n sends (n-1)/n of an array to scatter its sum, and as much to gather it. Of what is
    kept in parts the sum stays scattered, and weights are gathered as products take them: those of
    a target, and with `fsdp` those of the network, forwards and backwards, and of frozen ones.
    """
    ways, part = layout.data * layout.fsdp, (layout.fsdp - 1) / layout.fsdp
    ring, half = (ways - 1) / ways, run.width / 4
    if layout.fsdp == 1 and layout.zero1:
        return ring * (run.summed + trained + half * run.followed)
    if layout.fsdp == 1:
        return 2 * ring * run.summed
    gathered = half * (2 * run.summed + run.followed + run.frozen) * part
    scattered = run.summed * part
    return gathered * layout.accumulate + scattered + 2 * (run.summed * ring - scattered)


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
