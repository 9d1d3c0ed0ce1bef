"""A place that went away while its records are read: unmounted, deleted or moved."""

import os
from pathlib import Path

from m3i_jax.build import UserError
from m3i_jax.data.sources.inside import Inside
from m3i_jax.data.sources.zip_paths import Archive


class Gone(UserError, RuntimeError):
    """The records are not there any more, none of which is broken; the message names the place."""

    status = os.EX_IOERR


def require(place: Path | Inside) -> None:
    """Says that a folder or a zip is gone, where a record of it could not be read.

    Where a disk was mounted an empty folder stays. What is behind a URL has no such place.

    Raises:
      Gone: it is.
    """
    if isinstance(place, Inside):
        if not isinstance(place.archive, Archive) or isinstance(place.archive.path, Inside):
            return
        place = place.archive.path
    if reason := _reason(place):
        raise Gone(
            f"'{place}' {reason}: it was deleted, moved or unmounted while it was read; when it is "
            "back, the same command goes on"
        )


def _reason(place: Path) -> str:
    """Why nothing can be read there; "" where something is."""
    if place.is_file():
        return ""
    try:
        with os.scandir(place) as there:
            return "" if any(there) else "is empty now"
    except OSError as error:
        return f"is gone ({error.strerror})"
