"""How many cores this process may use: those it is bound to, within the quota of its container."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
SELF = Path("/proc/self/cgroup")


def usable() -> int:
    """Whole cores, at least one; a quota of 1.5 cores is two."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min([bound or 1, *map(math.ceil, quotas())]))


def quotas(*, mount: Path = MOUNT, own: Path = SELF) -> Iterator[float]:
    """Cores that control groups allow, those around ours included; nothing where none is limited.

    Of version 2, `cpu.max`, and of version 1, `cpu.cfs_quota_us` over `cpu.cfs_period_us`
    (https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files).
    """
    for line in _text(own).splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = mount / "cpu" if controllers else mount
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(root):
                break
            said = _text(folder / "cpu.max").split() or [
                _text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")
            ]
            if len(said) == 2 and all(number.isdecimal() for number in said) and int(said[1]):
                yield int(said[0]) / int(said[1])


def _text(file: Path) -> str:
    """What a file of the kernel says; "" where it is not there."""
    try:
        return file.read_text()
    except OSError:
        return ""
