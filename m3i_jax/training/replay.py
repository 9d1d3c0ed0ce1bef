"""A step that was left out, once more: the same batch, record by record, to find what spoils it.

The batch is the one that was left out, to the bit: records, crops, colours and masks are functions
of the seed, the place in the data and the step. The weights are those of the newest checkpoint
before it, as the weights of the step itself are nowhere.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float32

from m3i_jax import framework as fw
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints import place
from m3i_jax.checkpoints.checkpoint import Checkpoints
from m3i_jax.data import fingerprint
from m3i_jax.data.batches import batches
from m3i_jax.data.order import epoch_length
from m3i_jax.data.sources import protocol
from m3i_jax.parallel import sharding
from m3i_jax.training import bundle, reading, restoring, session
from m3i_jax.training.assemble import Run, check, finish
from m3i_jax.training.bundle import Bundle
from m3i_jax.training.config import Config
from m3i_jax.training.inputs import Inputs, inputs_of
from m3i_jax.training.log import CONFIG, guard_config
from m3i_jax.training.resolved import of_run
from m3i_jax.training.state import RECENT, TrainState
from m3i_jax.training.step import sliced, views
from m3i_jax.types import Array, Batch

SPREADS = 10.0  # median deviations above the median, beyond which a record stands out
LEAST = 1e-3  # of the median, that a deviation is at least: rows may be all alike


class Replayed(NamedTuple):
    """What a batch says once more.

    bundle: of the step.  start: step of the weights.  metrics: of the step, by these weights.
    names: of the records, row by row.  losses: {term: (B,)}, see `framework.by_sample`.
    faults: {what is not finite: (B,) bool}, such as "view a", "code online", by rows.
    """

    bundle: Bundle
    start: int
    metrics: dict[str, float]
    names: list[str]
    losses: dict[str, Float32[np.ndarray, " batch"]]
    faults: dict[str, Bool[np.ndarray, " batch"]]

    def distances(self) -> Float32[np.ndarray, " batch"]:
        """Of each row from the others: the most, over terms, of (L − median) / median deviation.

        Infinite where something of it, and not of all rows, is not finite.
        """
        apart = [_distance(values) for values in self.losses.values()]
        apart += [np.where(bad, np.inf, 0.0) for bad in self.faults.values() if not bad.all()]
        return np.max([np.zeros(len(self.names)), *apart], axis=0)


def _distance(values: np.ndarray) -> np.ndarray:
    """(L − median) / median deviation of rows; 0 where none of them is finite, or no term."""
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(len(values))
    median = np.median(values[finite])
    spread = np.median(np.abs(values[finite] - median))
    apart = (values - median) / max(spread, LEAST * abs(median), 1e-30)
    return np.where(finite, apart, np.inf)


def replay(path: str | Path) -> Replayed:
    """The step of a bundle once more, on the devices of this machine.

    path: WORKDIR/skipped/step-….json.

    Raises:
      ConfigError: it is no bundle, config or data are others, or no checkpoint is from before it.
    """
    told, workdir = bundle.read(path), Path(path).absolute().parent.parent
    config = Config.of(told.config)
    if not (workdir / CONFIG).is_file():
        raise ConfigError(
            f"'{workdir}' is no work directory; expected the bundle where the run wrote it, "
            f"WORKDIR/{bundle.FOLDER}"
        )
    parts = check(_here(config), devices=_devices(config))
    source = reading.read(config, workdir, split="train")
    run = finish(parts, images=epoch_length(source))
    safe = dict(safe=session.MAY_CHANGE, of_run=of_run(run))
    guard_config(workdir, config, write=False, **safe)
    inputs = inputs_of(run, source, workdir, bound=True)
    if changed := fingerprint.changes(told.fingerprint, inputs.fingerprint):
        raise ConfigError(f"the data changed since step {told.step}: {'; '.join(changed)}")
    start, state = _before(run, workdir, told.step)
    batch = _batch(run, inputs, told.position)
    names = [protocol.where(source, record) for record in told.records]
    with jax.set_mesh(run.mesh):
        _, metrics = jax.jit(run.step())(state, batch)
        losses, faults = jax.device_get(jax.jit(partial(by_row, run))(state, batch))
    scalars = {name: float(value) for name, value in jax.device_get(metrics).items()}
    return Replayed(told, start, scalars, names, losses, faults)


def _devices(config: Config) -> list[Any]:
    """As many devices of this machine as share out a batch evenly."""
    devices, rows = jax.local_devices(), config.batch // config.accumulate
    return devices[: max(n for n in range(1, len(devices) + 1) if rows % n == 0)]


def _here(config: Config) -> Config:
    """The config on this machine alone, over whose devices parameters are split."""
    return Config.of(config.to_dict() | {"mesh": {"data": 1, "fsdp": len(_devices(config))}})


def _before(run: Run, workdir: Path, step: int) -> tuple[int, TrainState]:
    """The newest checkpoint before a step, and its state, as if it were that of the step."""
    there = place.steps(workdir)
    before = [one for one in there if one < step]
    if not before:
        raise ConfigError(
            f"'{workdir}' has no checkpoint from before step {step}, only "
            f"{', '.join(map(str, there)) or 'none'}; config.checkpoint.keep_every keeps some"
        )
    kept = Checkpoints(place.folder(workdir), read_only=True)
    wanted = sharding.abstract(run.abstract.items(), run.shardings.items())
    state = restoring.state_of(run, kept.restore(wanted, step=before[-1], optional=(RECENT,)))
    number = jax.device_put(jnp.int32(step - 1), sharding.replicated(run.mesh))
    return before[-1], state.replace(step=number)


def _batch(run: Run, inputs: Inputs, behind: Mapping[str, Any]) -> Batch:
    """The batch in front of a position of the data, on the devices."""
    config = run.config
    with batches(
        inputs.source,
        batch=config.batch,
        seed=config.seed,
        crops=inputs.crops,
        tokenizer=inputs.tokenizer,
        annotations=inputs.annotations,
        threads=config.threads,
        start={**behind, "sample": behind["sample"] - config.batch},
    ) as stream:
        batch, _ = next(stream)
    return sharding.put(batch, run.mesh)


def by_row(
    run: Run, state: TrainState, batch: Batch
) -> tuple[dict[str, Float32[Array, " batch"]], dict[str, Bool[Array, " batch"]]]:
    """({term: its value}, {what: whether it is not finite}) of each row of a batch."""
    method, network, parts = run.method, run.network, run.config.accumulate
    key = jax.random.fold_in(jax.random.key(run.config.seed), state.step)
    own = dict(params=state.params, states=state.slots)
    prepared = fw.prepare(method, network, views(key, batch, run.augment), key=key, **own)
    progress = (state.step + 1).astype(jnp.float32) / run.total

    def part(number, rows):
        drawn = key if parts == 1 else jax.random.fold_in(key, number)
        options = dict(train=True, key=drawn)
        encoded, _, complete = fw.encode(
            method, network, state.params, state.slots, rows, progress=progress, **options
        )
        losses = fw.by_sample(method, network, state.params, encoded, complete, **options)
        size = run.config.batch // parts
        seen = {f"view {name}": view.data for name, view in complete.views.items()}
        seen |= {f"code {name}": (code.tokens, code.pooled) for name, code in encoded.items()}
        return losses, {name: _not_finite(tree, size) for name, tree in seen.items()}

    if parts == 1:
        return part(0, prepared)
    rows = jnp.arange(run.config.batch)
    slices, order = (sliced(tree, parts, method.together) for tree in (prepared, rows))
    found = jax.lax.map(lambda one: part(*one), (jnp.arange(parts), slices))
    back = jnp.argsort(order.reshape(-1))
    return jax.tree.map(lambda x: x.reshape(-1)[back], found)


def _not_finite(tree: Any, rows: int) -> Bool[Array, " batch"]:
    """Which rows of arrays have a number that is not finite; an array of other rows has none."""
    leaves = [x for x in jax.tree.leaves(tree) if x.ndim and x.shape[0] == rows]
    bad = [~jnp.isfinite(x.reshape(rows, -1)).all(-1) for x in leaves]
    return jnp.stack([jnp.zeros(rows, bool), *bad]).any(0)


def page(found: Replayed, *, shown: int = 20) -> str:
    """What was found, in lines: the step then and now, its terms, the records worst first."""
    told, now = found.bundle, found.metrics
    behind = told.step - 1 - found.start
    lines = [
        f"step {told.step} was left out: {told.why}",
        f"again, with the weights of step {found.start}, {behind} steps before it:",
        *(
            f"  {name:24} {now[name]:<12.6g} then {told.metrics.get(name, np.nan):.6g}"
            for name in ("train/loss", "optim/grad_norm")
        ),
    ]
    for name, values in found.losses.items():
        finite = values[np.isfinite(values)]
        median = f"{np.median(finite):.6g}" if len(finite) else "none"
        lines.append(
            f"  {'train/' + name:24} {now.get('train/' + name, np.nan):<12.6g} median of rows "
            f"{median}, not finite {len(values) - len(finite)} of {len(values)}"
        )
    apart = found.distances()
    order = sorted(range(len(apart)), key=lambda row: -apart[row])
    lines.append(_verdict(found, apart))
    lines += [_line(found, row, apart[row]) for row in order[:shown]]
    return "\n".join([*lines, *([f"  and {len(order) - shown} more"] * (len(order) > shown))])


def _verdict(found: Replayed, apart: np.ndarray) -> str:
    """How many records are to blame, or that none is."""
    count = int((apart > SPREADS).sum())
    if count:
        return f"{count} of {len(apart)} records stand out:"
    if all(np.isfinite(values).all() for values in found.losses.values()):
        return "no record stands out: look at the rate and the weights rather than at the data:"
    return "not finite for all records alike: the weights, or a term that compares all of them:"


def _line(found: Replayed, row: int, apart: float) -> str:
    """A record with its losses, and what is wrong with it."""
    losses = ", ".join(f"{name} {values[row]:.4g}" for name, values in found.losses.items())
    bad = [name for name, rows in found.faults.items() if rows[row]]
    wrong = f"; not finite: {', '.join(bad)}" if bad else ""
    mark = "  ! " if apart > SPREADS else "    "
    where = f"record {found.bundle.records[row]}"
    name = found.names[row] if found.names[row] == where else f"{where} ({found.names[row]})"
    return f"{mark}{name}: {losses}{wrong}"
