"""Changing a run on purpose where it goes on: what may be, and what becomes another meaning by it.

A run that goes on repeats what an uninterrupted one would have done. A change that somebody asks
for gives that up from its step on, so it is named key by key, said, and kept in starts.jsonl.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from m3i_jax.build import ConfigError, nearest

# Keys that may be changed, with what is in them, and what that means from the step on.
SPANS = (
    "rates, decay and moving averages are spanned anew over {total} steps, and step {step} is at "
    "{percent:.0f} % of them"
)
LOG = logging.getLogger(__name__)
LEFT = "step %d of %d is saved in %s; m3i pretrain --workdir %s goes on from it, to the bit"
ORDER = "the order of the samples is another from here on"
MEANINGS: Mapping[str, str] = {
    "duration": SPANS,
    "warmup": SPANS,
    "epoch_size": SPANS,
    "optimizer": "moments of gradients are those of before",
    "batch": f"{ORDER}, and a length in epochs or samples has another number of steps",
    "data": f"{ORDER}, and drawn from other records",
    "crops": "other views, of the same records",
    "augment": "other colours",
    "accumulate": "the same sums, rounded in another order",
    "weighting": "the balance goes on from where it was",
    "dtype": "other rounding",
    "spikes": "a median of another number of steps than before is one of steps from here on",
}
# Of a fingerprint of the data: whose change lets a field change.
FIELDS = {
    "source": "data", "length": "data", "epoch": "data", "contents": "data", "batch": "batch",
    "crops": "crops", "tokenizer": "data",
}  # fmt: skip


def parsed(said: Sequence[str]) -> dict[str, str]:
    """{key: value as it was written} of texts such as "duration=2000 steps".

    Raises:
      ConfigError: it has no value, or is of a key that no run can change.
    """
    changes = {}
    for text in said:
        key, equals, value = text.partition("=")
        key = key.strip().removeprefix("config.")
        if not equals or not value.strip():
            raise ConfigError(f"--resume_with is '{text}', expected KEY=VALUE")
        if key.partition(".")[0] not in MEANINGS:
            raise ConfigError(
                f"--resume_with cannot change '{key}': what is learnt would be another run"
                f"{nearest(key.partition('.')[0], MEANINGS)}; it can change "
                f"{', '.join(MEANINGS)}"
            )
        changes[key] = value.strip()
    return changes


def refused(changed: Sequence[str], deliberate: Sequence[str]) -> list[str]:
    """Of the changes of a fingerprint those that nobody asked for; see `fingerprint.changes`."""
    asked = {key.partition(".")[0] for key in deliberate}
    return [phrase for phrase in changed if FIELDS.get(phrase.partition(" ")[0]) not in asked]


def position(before: Mapping[str, Any], *, batch: int) -> dict[str, Any]:
    """The first sample behind those that were drawn at which a batch of another size begins."""
    return {**before, "sample": -(-before["sample"] // batch) * batch}


def meanings(deliberate: Sequence[str], *, step: int, total: int) -> Iterator[str]:
    """What changes become from a step on, a sentence for each meaning."""
    told = dict.fromkeys(MEANINGS[key.partition(".")[0]] for key in deliberate)
    percent = 100 * step / max(1, total)
    for meaning in told:
        yield meaning.format(step=step, total=total, percent=percent)


def tell(deliberate: Sequence[str], *, step: int, total: int) -> None:
    """Says what deliberate changes of a run mean from `step` on."""
    for sentence in meanings(deliberate, step=step, total=total):
        LOG.warning("from step %d on: %s", step, sentence)
