"""From a config to a run: every part is built, shapes are checked, nothing is allocated yet."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax

from m3i_jax import augment, build, framework, methods, networks, normalize, trees
from m3i_jax import decoders as decoding
from m3i_jax.build import ConfigError, nearest
from m3i_jax.framework import Method, Weighting
from m3i_jax.parallel import sharding
from m3i_jax.parallel.constrain import by_rows
from m3i_jax.ranges import INT32
from m3i_jax.training import agreement, batch_shape, lengths, schedules, schema
from m3i_jax.training import optimizer as optimizers
from m3i_jax.training.average import average, fitted_to, with_momentum
from m3i_jax.training.config import Config
from m3i_jax.training.spikes import Spikes
from m3i_jax.training.state import TrainState, create
from m3i_jax.training.step import Advance, Augment, jit_step, make_step
from m3i_jax.types import Batch

MOST = 10**12  # parameters
VIEWS = ("a", "b", "local")  # that can be augmented


class Parts(NamedTuple):
    """What a config describes, checked; all that can be made before the data is opened."""

    config: Config
    method: Method
    network: networks.Network
    weighting: Weighting
    augment: Mapping[str, Augment]
    mesh: Any


class Lengthwise(NamedTuple):
    """What of a run hangs on its length."""

    method: Method
    optimizer: Any
    schedule: Callable


class Run(NamedTuple):
    """A run, ready to start: its parts, and the abstract state with its shardings.

    total, warmup: its lengths in steps.  of_length: (total, warmup) -> Lengthwise, of any.
    """

    config: Config
    network: networks.Network
    method: Method
    weighting: Weighting
    augment: Mapping[str, Augment]
    total: int
    warmup: int
    of_length: Callable[[int, int], Lengthwise]
    mesh: Any
    make: Callable[[Any], TrainState]
    abstract: TrainState
    shardings: TrainState

    def create(self) -> TrainState:
        """The initial state, made straight into its shards."""
        key = jax.random.key(self.config.seed)
        with jax.set_mesh(self.mesh):
            return jax.jit(self.make, out_shardings=self.shardings)(key)

    def step(self) -> Callable:
        """The pure step (state, batch) -> (state, metrics)."""
        return self._step(self.total, self.warmup)

    def _step(self, total: int, warmup: int) -> Callable:
        """The pure step of such a run of any length; the lengths may be traced."""
        step = make_step(
            network=self.network,
            weighting=self.weighting,
            augment=self.augment,
            seed=self.config.seed,
            **self.of_length(total, warmup)._asdict(),
            total=total,
            accumulate=self.config.accumulate,
            group=self.method.together,
            every=schema.Log(**self.config.log).every,
            freeze=self.config.optimizer.get("freeze"),
            policy=Spikes(**self.config.spikes),
            **self._over_devices(),
        )
        return agreement.explained(step)

    def _over_devices(self) -> dict[str, Any]:
        """What config.mesh says of gradients."""
        block, own = self.config.mesh, {}
        if block.get("zero1"):
            where = sharding.gradients(self.abstract.params, self.mesh, block)
            own["split"] = lambda result: result._replace(
                params=jax.lax.with_sharding_constraint(result.params, where)
            )
        if block.get("sums", "float32") != "float32":
            own["sums"] = block["sums"]
        return own

    def batch_shape(self, rows: int | None = None) -> Batch:
        """Shapes of a batch of `rows` samples, the config's global batch by default."""
        rows = self.config.batch if rows is None else rows
        return batch_shape.batch(self.config, self.method, rows)

    def compiled(self) -> Advance:
        """`advance(leaves, batch)`, which compiles when it is called."""
        where = dict(shardings=self.shardings, batch_sharding=sharding.batch_sharding(self.mesh))
        return Advance(jit_step(self._step, self.abstract, **where), self.total, self.warmup)


def length(config: Config, *, images: int) -> int:
    """Steps of the whole run, over a training set of so many images."""
    return lengths.parse(config.duration, batch=config.batch, epoch=config.epoch_size or images)


def objective(config: Config, *, make: Callable = build.call) -> Method:
    """The method that the config names, with its target.

    A moving average that the config names no momentum for has that of a long run, see
    `average.fitted_to`.
    make: `build.call`; `build.made` for a config that has been checked.
    """
    block = dict(config.objective)
    if config.target:
        function = build.lookup(methods.METHODS, block.get("name", ""), what="config.objective")
        if "target" not in inspect.signature(function).parameters:
            raise ConfigError(f"objective '{function.__name__}' has no target to choose: leave "
                              "config.target empty")  # fmt: skip
        if block.get("target"):
            raise ConfigError("config.objective.target and config.target both name a target")
        block["target"] = config.target
    target = block.get("target")
    if isinstance(target, Mapping) and target.get("name") == "ema":
        block["target"] = with_momentum(block["target"], None)
    method = methods.create(block, what="config.objective", make=make)
    head = config.average.get("head", False)
    if head and not method.answering:
        raise ConfigError(
            f"config.average.head is {head}, but objective '{config.objective['name']}' has "
            "neither a classifier nor a dense head"
        )
    return replace(method, average=average(config), averages_head=head)


def build_network(
    config: Config, method: Method, *, make: Callable = build.call
) -> networks.Network:
    """The network that the config describes; every decoder predicts what its terms want.

    make: see `objective`.
    """
    towers = {"image", *config.towers}
    for name, code in method.encoded.items():
        if code.encoder.tower not in towers:
            raise ConfigError(
                f"code '{name}' wants tower '{code.encoder.tower}', which config.towers lacks"
                f"{nearest(code.encoder.tower, config.towers)}"
            )
    for name, term in method.terms.items():
        if term.decoder is not None and term.decoder not in config.decoders:
            raise ConfigError(
                f"term '{name}' wants decoder '{term.decoder}', which config.decoders lacks"
                f"{nearest(term.decoder, config.decoders)}"
            )
    wanted = method.heads() | {term.decoder for term in method.terms.values()}
    for name in sorted(method.heads() - set(config.decoders)):
        raise ConfigError(
            f"an encoder has '{name}' among its heads, which config.decoders lacks"
            f"{nearest(name, config.decoders)}"
        )
    # What predicts nothing cannot be made, and is left out: `unused` says so.
    read = {block.get("input") for block in config.decoders.values()}
    decoders = {
        name: block
        for name, block in config.decoders.items()
        if name in wanted | read or decoding.is_head(block, what=f"config.decoders.{name}")
    }
    network = networks.build(
        config.encoder,
        config.towers,
        decoders,
        image=config.image,
        dtype=config.dtype,
        out=lambda name, nodes: _wanted(method, nodes).get(name),
        maps=method.maps,
        make=make,
    )
    heads = {name: s.width for name, s in network.nodes.items() if s.kind == "head"}
    for name, code in method.encoded.items():
        if code.mask is not None and not network.towers[code.encoder.tower].masking:
            raise ConfigError(
                f"code '{name}' hides patches from '{_name(config, code.encoder.tower)}', a "
                "convolution over every pixel: take a ViT, SwinV2 or a lifted stem, or a method "
                "that mixes images (m3i) or hides nothing"
            )
    for name, width in method.decoders(network.nodes).items():
        if heads.get(name, width) != width:
            raise ConfigError(
                f"config.decoders.{name}.out is {heads[name]}, "
                f"but the objective wants it to predict {width} dimensions"
            )
    return network


def _wanted(method: Method, nodes: Mapping[str, Any]) -> dict[str, int]:
    """How wide each decoder's prediction has to be; refuses heads without a width of their own."""
    for name in sorted(method.heads() - nodes.keys()):
        raise ConfigError(f"an encoder passes through '{name}': config.decoders.{name} needs 'out'")
    try:
        return method.decoders(nodes)
    except ValueError as error:  # terms of different widths share one
        raise ConfigError(f"config.objective: {error}") from error


def _name(config: Config, tower: str) -> str:
    """What the config calls the encoder of a tower."""
    return (config.encoder if tower == "image" else config.towers[tower]).get("name", tower)


def check(config: Config, *, devices: Sequence[Any] | None = None) -> Parts:
    """The parts of a run; refuses, in about a second, what can be refused without its data.

    That is names, types, ranges and texts (`schema.check`), parts that do not go together, lengths
    and devices.  devices: to run on, all by default.
    """
    schema.check(config)
    with build.knowing(config.to_dict()):
        method = objective(config, make=build.made)
        network = _settled(config, build_network(config, method, make=build.made))
        weighting = _weighting(config, method)
    agreement.check(config, method, network)
    augment = augments(config, method)
    total, warmup = _lengths(config, config.epoch_size)
    steps = dict(batch=config.batch, total=max(total, warmup), warmup=warmup)
    optimizers.check(config.optimizer, **steps)
    batch = config.batch // config.accumulate
    mesh = sharding.mesh(config.mesh, batch=batch, devices=devices, make=build.made)
    return Parts(config, method, network, weighting, augment, mesh)


def _settled(config: Config, network: networks.Network) -> networks.Network:
    """The network, whose towers with batch norms go by their running statistics where all of such
    a tower is frozen: its features are then those that any other batch would have."""
    freeze = config.optimizer.get("freeze")
    norms = network.batchwise & network.towers.keys()
    if not freeze or not norms:
        return network
    params = jax.eval_shape(network.init, _key())["encoders"]
    still = frozenset(
        tower
        for tower in norms
        if all(
            re.search(freeze, f"encoders/{tower}/{path}")
            for path, _ in trees.named_leaves(params[tower])
        )
    )
    encode = partial(network.encode, settled=still)
    return network._replace(encode=encode, batchwise=network.batchwise - still)


def _weighting(config: Config, method: Method) -> Weighting:
    fn, kwargs = build.choose(schema.WEIGHTINGS, config.weighting, what="config.weighting")
    weighting = build.made(fn, kwargs, what="config.weighting")
    if set(weighting.groups) - set(method.groups):
        raise ConfigError(
            f"config.weighting balances {' and '.join(weighting.groups)}, "
            f"but the objective has {' and '.join(method.groups)} only; "
            "set config.weighting={'name': 'constant'}"
        )
    if not weighting.measures:
        at = [weighting.weigh(weighting.init(), {}, progress)[0] for progress in (0.0, 0.5, 1.0)]
        if not any(float(weights.get(g, 1.0)) for weights in at for g in method.groups):
            raise ConfigError("config.weighting gives every group the weight 0")
    return weighting


def _lengths(config: Config, epoch: int) -> tuple[int, int]:
    """Steps of the run and of its warm-up; 0 images per epoch are not known yet."""
    sizes = dict(batch=config.batch, epoch=epoch or config.batch)
    total = lengths.parse(config.duration, **sizes)
    warmup = lengths.parse(config.warmup, total=total, **sizes)
    if epoch or not total or "epoch" not in config.duration + config.warmup:
        schedules.check_lengths(total, warmup)
    return total, warmup


def assemble(config: Config, *, images: int, devices: Sequence[Any] | None = None) -> Run:
    """Checks a config and builds every part of its run and its abstract state; allocates nothing.

    images: length of the training set, for lengths given in epochs.
    devices: to run on, all by default.
    """
    return finish(check(config, devices=devices), images=images)


def shapes(parts: Parts) -> Any:
    """Shapes of the parameters; refuses what only a trace of all parts shows, without data."""
    make = partial(framework.init, parts.method, parts.network)
    with jax.set_mesh(parts.mesh):  # as where the state is made, whose trace this is then
        params, _ = jax.eval_shape(make, _key())
    count = trees.count(params)
    if count > MOST:
        raise ConfigError(f"the network has {count:.3g} parameters, expected at most {MOST:.0e}")
    return params


def rehearse(parts: Parts) -> None:
    """Refuses what only the tree of all parameters shows, before the data says how long a run is:
    patterns of the optimiser that are of no path, and rules that leave nothing to train."""
    own = dict(params=shapes(parts), batch=parts.config.batch, total=INT32, make=build.made)
    optimizers.create(parts.config.optimizer, **own)


def finish(parts: Parts, *, images: int) -> Run:
    """The run that has these parts, over a training set of so many images."""
    config, network, mesh = parts.config, parts.network, parts.mesh
    epoch = config.epoch_size or images
    total = length(config, images=images)
    warmup = lengths.parse(config.warmup, batch=config.batch, epoch=epoch, total=total)
    of_length = partial(_of_length, parts, shapes(parts))
    method, optimizer, _ = of_length(total, warmup)
    own = dict(network=network, method=method, weighting=parts.weighting)
    make = partial(create, **own, optimizer=optimizer, policy=Spikes(**config.spikes))
    with jax.set_mesh(mesh):
        abstract = jax.eval_shape(make, _key())
    return Run(
        config=config,
        **own,
        augment=parts.augment,
        total=total,
        warmup=warmup,
        of_length=of_length,
        mesh=mesh,
        make=make,
        abstract=abstract,
        shardings=sharding.of_state(abstract, mesh, config.mesh),
    )


def _key() -> jax.ShapeDtypeStruct:
    """What a key looks like: making one would compile a program."""
    return jax.eval_shape(jax.random.key, 0)


def _of_length(parts: Parts, params: Any, total: int, warmup: int) -> Lengthwise:
    """What a run of such a length has for its own.  params: their shapes."""
    config = parts.config
    steps = dict(batch=config.batch, total=total, warmup=warmup)
    chosen = optimizers.create(config.optimizer, params=params, **steps, make=build.made)
    return Lengthwise(fitted_to(parts.method, config, total), *chosen)


def augments(config: Config, method: Method) -> dict[str, Augment]:
    """Per view, images -> normalised ones; the block "local" is that of every small crop."""
    by_view, blocks = {}, dict(config.augment)
    small = blocks.pop("local", None)
    for view, block in blocks.items():
        if view not in VIEWS:
            raise ConfigError(f"config.augment has no view '{view}'{build.nearest(view, VIEWS)}")
        if view not in method.sources:
            continue  # a recipe may name both views of a method that looks at one
        by_view[view] = partial(_photometric, block, f"config.augment.{view}")
    if small is not None:
        local = partial(_photometric, small, "config.augment.local")
        by_view |= {view: local for view in method.sources if re.fullmatch(r"l\d+", view)}
    for apply in {id(apply): apply for apply in by_view.values()}.values():
        # Checked by a call on shapes.
        shape = jax.ShapeDtypeStruct((1, config.image, config.image, 3), "float32")
        jax.eval_shape(apply, _key(), shape)
    return by_view


def _photometric(block, what, key, images):
    inputs = dict(key=key, images=images, normalize=normalize.channels, by_rows=by_rows)
    return build.made(augment.photometric, block, what=what, **inputs)
