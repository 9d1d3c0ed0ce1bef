"""Compiled programs are kept between runs, in the user's cache: a second start compiles nothing."""

import logging
import os
import stat
from pathlib import Path

from m3i_jax import ordinary
from m3i_jax.command_flags import switch

LOG = logging.getLogger(__name__)
LARGEST = 2 * 2**30  # bytes; what was not used for longest goes first
SHORTEST = 0.3  # seconds of compilation from which on a program is kept
KEEP = switch("compilation_cache", "Whether compiled programs are kept for the next run.", on=True)


def home() -> Path:
    """Where they are kept unless JAX_COMPILATION_CACHE_DIR says another folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "m3i_jax" / "compiled"


def keep() -> None:
    """Has JAX keep what it compiles, unless somebody says no; says where, and how much it is.

    What cannot be written is no reason not to train: it is said, and nothing is kept.
    """
    import jax

    if not KEEP.value:
        jax.config.update("jax_enable_compilation_cache", False)
        return
    theirs = os.environ.get("JAX_COMPILATION_CACHE_DIR", "")
    folder = Path(theirs) if theirs else home()
    if "://" not in theirs and not writable(folder):
        jax.config.update("jax_enable_compilation_cache", False)
        LOG.warning("nothing can be written to %s: compiled programs are not kept, and the next "
                    "start compiles again; JAX_COMPILATION_CACHE_DIR names another",
                    folder)  # fmt: skip
        return
    if theirs:  # and theirs to bound
        return
    if not private(folder):
        jax.config.update("jax_enable_compilation_cache", False)
        LOG.warning("others can write to %s, and compiled programs are run as they are found: "
                    "none are kept there; chmod 700 makes it yours alone", folder)  # fmt: skip
        return
    size = pruned(folder, LARGEST)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", SHORTEST)
    LOG.info("compiled programs are kept in %s (%s); --nocompilation_cache keeps none",
             folder, ordinary.size(size))  # fmt: skip


def writable(folder: Path) -> bool:
    """Whether files can be put into a folder, or it can be made."""
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def private(folder: Path) -> bool:
    """Whether nobody else can put a program there; a folder that is not there is made so.

    One that cannot be made, as on a full disk, holds no programs.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError:
        return True
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def pruned(folder: Path, most: int) -> int:
    """Removes the files used least recently until `most` bytes are left; returns those that are."""
    try:
        stats = [(max(s.st_atime, s.st_mtime), s.st_size, file)
                 for file in folder.iterdir() if (s := file.stat())]  # fmt: skip
    except OSError:  # it is not there yet, or another process is removing
        return 0
    size = sum(one for _, one, _ in stats)
    for _, one, file in sorted(stats):
        if size <= most:
            break
        file.unlink(missing_ok=True)
        size -= one
    return size
