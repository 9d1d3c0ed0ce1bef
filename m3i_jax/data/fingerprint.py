"""What decides a stream, by name: a resumed run must find the same."""

import hashlib
import json
from collections.abc import Mapping
from logging import getLogger
from typing import Any

from m3i_jax.data.captions import Captions
from m3i_jax.data.order import epoch_length
from m3i_jax.data.sources.protocol import Source
from m3i_jax.data.views.kinds import Views, describe

LOG = getLogger(__name__)
SINCE = ("contents", "times")  # fields that older fingerprints lack
VERSION = 1  # count up whenever the same settings give other batches


def of(
    source: Source, *, seed: int, batch: int, crops: Views, tokenizer: Captions | None = None
) -> dict[str, Any]:
    """Everything that decides what the stream yields, by name, as plain JSON data.

    Saved with the position: a resumed run compares field by field and names what has changed.
    """
    fields = {
        "source": f"{source.name} {source.fingerprint()}",
        "length": len(source),
        "seed": seed,
        "batch": batch,
        "crops": dict(describe(crops)),
        "tokenizer": tokenizer.digest() if tokenizer else None,
        "version": VERSION,
        **getattr(source, "contents", dict)(),
    }
    if (epoch := epoch_length(source)) != len(source):  # else lengths in epochs are of the records
        fields["epoch"] = epoch
    return json.loads(json.dumps(fields))  # tuples become lists, as they do in a checkpoint


def changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In what two fingerprints differ, one phrase for each field.

    A fingerprint from before there were some fields is not held against them. Other times of the
    same contents are no change, since a copy has others; the log tells them.
    """
    names = [name for name in sorted(then.keys() | now.keys()) if then.get(name) != now.get(name)]
    names = [name for name in names if name in then or name not in SINCE]
    if names == ["times"]:
        LOG.warning(
            "files of the data were written or copied since the checkpoint; their names, sizes "
            "and what was looked at of their contents are as they were"
        )
    return [
        f"{name} was {then.get(name)!r}, is now {now.get(name)!r}"
        for name in names
        if name != "times"
    ]


def digest(fields: dict[str, Any]) -> str:
    """A short name for a fingerprint, for logs."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]
