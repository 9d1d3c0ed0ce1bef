"""Frozen towers of a run: where their weights come from, and how they get into the first state."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax

from m3i_jax.build import ConfigError
from m3i_jax.checkpoints import weights
from m3i_jax.data.captions import Captions
from m3i_jax.framework import Method, Slot
from m3i_jax.training import branches
from m3i_jax.training.assemble import Run
from m3i_jax.training.config import Config
from m3i_jax.training.schema import Source
from m3i_jax.training.state import TrainState

UNTRAINED = "untrained"  # a path that leaves a teacher as it was initialised


def check(config: Config, method: Method) -> None:
    """Refuses a run whose teachers have no weights; weights of no teacher do not agree with it."""
    wanted = {slot.source for slot in method.slots.values() if slot.source}
    for tower in sorted(wanted - set(config.weights)):
        raise ConfigError(
            f"the objective has a frozen tower '{tower}': set config.weights.{tower}.path to the "
            f"--workdir of a run or to a file of weights ('{UNTRAINED}' keeps random weights)"
        )


def require(config: Config) -> None:
    """Refuses a first state that is to be made of weights that are not there."""
    for sentence in missing(config):
        raise ConfigError(sentence)


def missing(config: Config) -> Iterator[str]:
    """A sentence on each path of `weights` and of `init_from` at which there are no weights."""
    blocks = {f"weights.{name}": block for name, block in config.weights.items()}
    blocks |= {"init_from": config.init_from} if config.init_from else {}
    for name, block in blocks.items():
        if block["path"] != UNTRAINED or name == "init_from":
            try:
                weights.require(block["path"], what=f"config.{name}.path")
            except ConfigError as error:
                yield str(error)


def find(run: Run, *, tokenizer: Captions | None = None) -> dict[str, Any]:
    """The states of a run's frozen towers by slot, read and held against the run's shapes.

    tokenizer: of the run's captions, whose ids the rows of a text table have to follow.

    Raises:
      ConfigError: nothing to read, or weights of another tower; nothing has been compiled yet.
    """
    states = {}
    for name, slot in run.method.slots.items():
        block = run.config.weights.get(slot.source or "", {})
        if slot.source and block["path"] != UNTRAINED:
            abstract = run.abstract.slots[name]
            source = Source(**block)
            grid = run.network.towers[slot.source].grid
            block = weights.block(run.config, slot.source)
            states[name] = _load(
                source, slot, abstract, grid=grid, block=block, tokenizer=tokenizer
            )
    return states


def fill(run: Run, state: TrainState, states: Mapping[str, Any]) -> TrainState:
    """The first state of a run with the states of its frozen towers in their places."""
    placed = {name: jax.device_put(x, run.shardings.slots[name]) for name, x in states.items()}
    return state.replace(slots=state.slots | placed)


def _load(source: Source, slot: Slot, wanted: Mapping[str, Any], **fits: Any) -> Any:
    """The state of a slot, of the shapes in `wanted`; `fits`: see `weights.load`."""
    if not slot.frozen:
        state = weights.load_slot(source.path, slot.name)
        weights.check(state, wanted, what=f"'{slot.name}' of '{source.path}'")
        return state
    if not weights.is_file(source.path):
        step, meta = weights.meta(source.path)
        branches.advise(meta, branch=source.branch, step=step)
    fields = source._asdict()
    tower = weights.load(fields.pop("path"), wanted["encoders"][slot.source], **fields, **fits)
    state = {"encoders": {slot.source: tower}}
    heads = wanted.get("decoders")
    if heads and weights.is_file(source.path):
        state["decoders"] = weights.load_file_heads(source.path, heads, layout=source.layout)
    elif heads:
        state["decoders"] = weights.load_heads(source.path, heads, source.branch)
        weights.check(state["decoders"], heads, what=f"heads of '{source.path}'")
    return state
