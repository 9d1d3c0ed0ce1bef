"""What a run was started with: one line of starts.jsonl for every start, the first and each resume.

The config says what is computed; this, by what: command, machine and versions.
"""

import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

import m3i_jax
from m3i_jax import jsonfile, ordinary
from m3i_jax.checkpoints import json_lines, storage

FILE = "starts.jsonl"


def record(workdir: str | Path, *, step: int, total: int, changes: Sequence[str] = ()) -> None:
    """Adds the line of a start.

    step: that it goes on from.  total: steps of the whole run.
    changes: of the config since the start before, in words.

    Raises:
      Unwritable: the disk is full or read-only.
    """
    path = Path(workdir) / FILE
    said = {"changes": list(changes)} if changes else {}
    line = json.dumps({"step": step, "total": total, **said, **_present()}) + "\n"
    with storage.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        ordinary.written(path, line.encode(), append=True)


def read(workdir: str | Path) -> list[dict[str, Any]]:
    """The starts of a run, oldest first; [] where none is known, as of runs of old versions."""
    lines = json_lines.lines(json_lines.content(Path(workdir) / FILE))
    return [start for line in lines if (start := _parse(line)) is not None]


def versions() -> dict[str, str]:
    """What computes here."""
    packages = {name: importlib.metadata.version(name) for name in ("jax", "numpy")}
    packages |= {"m3i_jax": m3i_jax.__version__, "python": platform.python_version()}
    return packages | {"device": jax.devices()[0].device_kind}


def _present() -> dict[str, Any]:
    """Time, command and machine of this process."""
    now = datetime.datetime.now(datetime.UTC)
    return {
        "time": now.isoformat(timespec="seconds"),
        "command": " ".join([sys.argv[0], *map(shlex.quote, sys.argv[1:])]),
        "devices": jax.device_count(),
        "processes": jax.process_count(),
        "processors": os.cpu_count(),
        "machine": f"{platform.system()} {platform.machine()}",
        "versions": versions(),
    }


def _parse(line: str) -> dict[str, Any] | None:
    try:
        start = jsonfile.parse(line)
    except ValueError:
        return None
    counted = isinstance(start, dict) and type(start.get("step")) is int
    return start if counted and type(start.get("total")) is int else None
