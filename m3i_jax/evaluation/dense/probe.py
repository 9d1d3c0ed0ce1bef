"""A head trained on the maps of a frozen encoder: what dense features are judged by.

The loss is that of the method in the table, so that a probe and a fine-tuning differ in what
trains, and in nothing else.
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import optax

from m3i_jax import framework as fw
from m3i_jax import geometry, networks, trees
from m3i_jax.build import ConfigError, said_of
from m3i_jax.data.batches import batches
from m3i_jax.data.sources.protocol import Source
from m3i_jax.data.stream import prefetch
from m3i_jax.data.views import kinds
from m3i_jax.evaluation.dense.predictor import Predictor
from m3i_jax.evaluation.models import Model
from m3i_jax.evaluation.progress import counted
from m3i_jax.framework import Method
from m3i_jax.geometry.maps import Blocks
from m3i_jax.parallel import sharding
from m3i_jax.training import optimizer as optimizers
from m3i_jax.training.inputs import wanted_of
from m3i_jax.training.step import views
from m3i_jax.types import Batch

NO_MAPS = "raw pixels have no encoder, and so no maps"


class Plan(NamedTuple):
    """How a head is trained.

    decoder: its name in the method.   head: its block `{name, **kwargs}`.
    crops: block of the views, see `data.views.kinds`.   optimizer: block.
    batch: images of a step.   steps, warmup: how many.   seed: of the head, the order, the views.
    """

    decoder: str
    head: Mapping[str, Any]
    crops: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    batch: int
    steps: int
    warmup: int
    seed: int = 0


def trained(model: Model, source: Source, method: Method, plan: Plan) -> Predictor:
    """The head of a method on the encoder of a model, which stays as it is.

    Raises:
      ConfigError: the model has no encoder; records do not say what the method reads.
    """
    network = _network(model, method, plan)
    params = network.init(jax.random.key(plan.seed))
    found = Predictor(network, params, plan.decoder, method.maps["image"])
    encoder = {"encoders": {"image": model.params["encoders"]["image"]}}
    mesh = sharding.mesh(batch=plan.batch)
    total = dict(total=plan.steps, warmup=min(plan.warmup, plan.steps - 1))
    head = {"decoders": params["decoders"]}
    rule, _ = optimizers.create(dict(plan.optimizer), params=head, batch=plan.batch, **total)
    step, key = _step(method, network, rule), jax.random.key(plan.seed)
    state = head, rule.init(head)
    with jax.set_mesh(mesh):
        state, encoder = jax.device_put((state, encoder), sharding.replicated(mesh))
        stream = _stream(source, method, plan, found.size, mesh)
        for number, batch in enumerate(counted(stream, f"{plan.decoder}: step", total=plan.steps)):
            state = step(state, encoder, batch, jax.random.fold_in(key, number))
    return found._replace(params=jax.device_get({**encoder, **state[0]}))


def every_map(model: Model, blocks: Blocks) -> tuple[int, ...]:
    """Numbers of all maps that a head is given, see `geometry.numbered`.

    Raises:
      ConfigError: the model has no encoder, or not so many blocks.
    """
    if model.network is None:
        raise ConfigError(NO_MAPS)
    with said_of("blocks"):
        numbers = geometry.numbered(blocks, model.network.towers["image"].depths)
    return tuple(range(max(len(numbers), 1)))


def _network(model: Model, method: Method, plan: Plan) -> networks.Network:
    """The encoder of a model, and a new head."""
    nodes = model.network.nodes
    return networks.build(
        model.block,
        {},
        {plan.decoder: plan.head},
        image=model.image,
        dtype=model.config.dtype if model.config else "float32",
        out=method.decoders(nodes),
        maps=method.maps,
    )


def _step(method: Method, network: networks.Network, rule: Any) -> Any:
    """(state, encoder, batch, key) -> state, compiled: one program for all seeds."""

    def loss(head, encoder, batch, key):
        params = {**encoder, **head}
        seen = views(key, batch, {})
        prepared = fw.prepare(method, network, seen, key=key, params=params, states={})
        frozen = jax.lax.stop_gradient(params)
        codes, *_ = fw.encode(method, network, frozen, {}, prepared, train=False, key=None)
        scores = fw.score(method, network, params, codes, prepared, train=True, key=key)
        return sum(score.loss for score in scores.values())

    @jax.jit
    def step(state, encoder, batch, key):
        head, moments = state
        slope = jax.grad(loss)(head, encoder, batch, key)
        norm = optax.tree.norm(trees.drop(slope, trees.STATISTICS))
        changes, moments = rule.update(slope, moments, head, norm=norm)
        return optax.apply_updates(head, changes), moments

    return step


def _stream(
    source: Source, method: Method, plan: Plan, size: tuple[int, int], mesh: Any
) -> Iterator[Batch]:
    """The batches of a training, of views of this height and width, on the devices."""
    wanted = wanted_of(method, source, plan.crops)
    cut = kinds.of({**plan.crops, "width": size[1]}, size=size[0], views=("a",))
    reads = dict(batch=plan.batch, seed=plan.seed, crops=cut, annotations=wanted)
    stream = batches(source, share=sharding.share(mesh), **reads)
    for batch, _ in itertools.islice(prefetch(stream, lambda x: sharding.put(x, mesh)), plan.steps):
        yield batch
