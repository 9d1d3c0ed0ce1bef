"""The first state of a run from weights that are there: of another run, or in a file of others.

Of the image encoder, everything has to fit but what `ignore` names. Any other tower or decoder is
taken whole, where it is there and fits (a text tower, if it reads the same tokens), and otherwise
starts as it was initialised. The target starts as the file's target, where it has one, else as the
online network.
"""

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax

from m3i_jax import trees
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints import weights
from m3i_jax.checkpoints.token_rows import aligned
from m3i_jax.data.captions import Captions
from m3i_jax.interop import beside, importing, layouts
from m3i_jax.interop.importing import Imported, Report
from m3i_jax.training.assemble import Run
from m3i_jax.training.config import Config
from m3i_jax.training.schema import Origin
from m3i_jax.training.state import TrainState
from m3i_jax.training.taken import sentences

LOG = logging.getLogger(__name__)
ENCODER, TARGET = "encoders/image", "ema/"
TEXT = "encoders/text/"
TOKENS = TEXT + "token_embed"


class Start(NamedTuple):
    """What was found: leaves by path for the online network and for the target, and an account."""

    online: dict[str, Any]
    target: dict[str, Any]
    report: Report


def find(run: Run, *, tokenizer: Captions | None = None) -> Start | None:
    """The weights for a run's first state, read and made to fit; None where it asks for none.

    tokenizer: of the run's captions, whose ids the rows of a text table have to follow.

    Raises:
      ConfigError: nothing to read, nothing that fits, or an encoder that is another one.
    """
    if not run.config.init_from:
        return None
    source = Origin(**run.config.init_from)
    if weights.is_file(source.path):
        name = run.config.encoder.get("name", "ENCODER")
        imported = importing.read(source.path, layout=source.layout, encoder=name)
    else:
        imported = _of_run(source)
    wanted = dict(trees.named_leaves(run.abstract.params))
    if weights.is_file(source.path) and TOKENS in wanted:
        imported = aligned(imported, tokenizer, rows=wanted[TOKENS].shape[0])
    arrays, notes = importing.fitted(imported, wanted, grid=run.network.towers["image"].grid)
    others = "" if weights.is_file(source.path) else weights.other_tokens(source.path, tokenizer)
    if others and TOKENS in arrays:
        arrays = {path: x for path, x in arrays.items() if TEXT not in path}
        notes += [f"it starts anew: {others}"]
    online = {path: x for path, x in arrays.items() if not path.startswith(TARGET)}
    target = {p.removeprefix(TARGET): x for p, x in arrays.items() if p.startswith(TARGET)}
    _check_encoder(online, wanted, imported, source.ignore)
    averaged = dict(trees.named_leaves(run.abstract.slots["ema"]))
    taken = _whole_modules(online, wanted, source.ignore)
    taken_target = _whole_modules(target, averaged, source.ignore)
    if not taken:
        raise ConfigError(f"nothing of {imported.path} fits this run: it has {_modules(arrays)}")
    notes += _agreed(run.config, source, imported, importing.by_module(taken))
    notes += importing.left(imported)
    account = importing.report(taken, wanted, notes=notes, what=imported.path)
    left = arrays.keys() - taken.keys() - {TARGET + path for path in taken_target}
    account = account._replace(extra=tuple(sorted(left)))
    said = sentences(account, encoder=run.config.encoder)
    for line in filter(None, [*said, importing.advice(imported.layout)]):
        LOG.info("init_from %s (%s): %s", source.path, imported.layout.name, line)
    return Start(taken, taken_target, account)


def fill(run: Run, state: TrainState, start: Start | None) -> TrainState:
    """The first state of a run with the weights that were found in their places."""
    if start is None:
        return state
    target = start.online | start.target
    params = _placed(state.params, run.shardings.params, start.online)
    average = _placed(state.slots["ema"], run.shardings.slots["ema"], target)
    slots = state.slots | {"ema": average}
    for name, slot in run.method.slots.items():
        if slot.follows is not None:
            own = slot.init(None, run.network, run.method.owned(slots[slot.follows], name))
            slots[name] = jax.device_put(own, run.shardings.slots[name])
    return state.replace(params=params, slots=slots)


def _placed(tree: Any, shardings: Any, leaves: Mapping[str, Any]) -> Any:
    """The tree with `leaves` by path in their places."""
    where = dict(trees.named_leaves(shardings))
    return trees.map_with_name(
        lambda path, x: jax.device_put(leaves[path], where[path]) if path in leaves else x, tree
    )


def _of_run(source: Origin) -> Imported:
    """The network and the target of a run, as if they were a file in our names."""
    if source.branch not in weights.BRANCHES:
        raise ConfigError(f"config.init_from.branch is '{source.branch}', expected online or ema")
    online, target = (weights.load_branch(source.path, name) for name in ("online", "ema"))
    first = trees.overlay(online, target) if source.branch == "ema" else online
    params = dict(trees.named_leaves(first))
    params |= {TARGET + path: x for path, x in trees.named_leaves(target)}
    stated = weights.stated(source.path, "image")
    return Imported(f"'{source.path}'", layouts.OWN, params, (), stated)


def _agreed(config: Config, source: Origin, imported: Imported, taken: Iterable[str]) -> list[str]:
    """Refuses modules that are others than is said of them; returns what is guessed."""
    notes, of_file = [], weights.is_file(source.path)
    for module in taken:
        kind, name = module.split("/")
        what = f"{module} of {imported.path}"
        if kind == "encoders":
            said = imported.stated if of_file else weights.stated(source.path, name)
            block = weights.block(config, name)
            notes += weights.agree(said, block, ignore=source.ignore, what=what)
        elif theirs := imported.stated.decoders.get(name):
            beside.decoder(theirs, config.decoders[name], what=what)
    return notes


def _check_encoder(arrays, wanted, imported, ignore) -> None:
    """Refuses an image encoder of which not everything fits."""
    ours, theirs = (_of(ENCODER, leaves) for leaves in (wanted, arrays))
    if theirs:
        account = importing.report(theirs, ours, notes=[], what=imported.path)
        importing.complete(account, imported.layout, ignore=ignore, what=imported.path)


def _whole_modules(arrays, wanted, ignore) -> dict[str, Any]:
    """The leaves of the modules that are the same in both, by path and shape."""
    taken = {}
    for module in importing.by_module(wanted):
        theirs, ours = (_of(module, leaves) for leaves in (arrays, wanted))
        shapes = [
            {path: x.shape for path, x in leaves.items() if not re.search(ignore or "$^", path)}
            for leaves in (theirs, ours)
        ]
        if shapes[0] == shapes[1]:
            taken |= {path: theirs[path] for path in theirs.keys() & ours.keys()}
    return taken


def _of(module: str, leaves: Mapping[str, Any]) -> dict[str, Any]:
    return {path: x for path, x in leaves.items() if path.startswith(module + "/")}


def _modules(leaves: Mapping[str, Any]) -> str:
    return ", ".join(sorted(importing.by_module(leaves))) or "nothing"
