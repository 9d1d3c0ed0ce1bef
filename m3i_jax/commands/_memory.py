"""What a step on processors has had of memory stays with the process, in large pages.

XLA asks for the temporary memory of every step afresh. glibc hands pieces of that size through to
the system and back, which gives them out in pages of 4 KiB when they are touched, each filled with
zeros: a tenth of the time of a step (docs/benchmarks.md). From one heap that keeps what it has,
the same memory is used again.
"""

import ctypes
import importlib.util
import logging
import os
import sys

from m3i_jax.parallel import launching

LOG = logging.getLogger(__name__)
TRIM_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -4, -8  # malloc.h
HUGEPAGE = 14  # MADV_HUGEPAGE of linux/mman.h
HUGE = 2 * 2**20  # bytes of a large page
SHARE = 2  # of the machine's memory a half, as addresses: nothing is taken before it is used


def keep() -> bool:
    """Has this process keep its memory where processors compute; says whether it does.

    To be called before JAX starts its threads, as each would have a heap of its own. Nothing is
    done beside an accelerator, whose memory JAX keeps anyway, without glibc, and where the
    environment says how glibc is to work.
    """
    libc = ctypes.CDLL(None)
    if accelerated() or directed() or not (sys.platform == "linux" and hasattr(libc, "mallopt")):
        return False
    settings = (TRIM_THRESHOLD, -1), (MMAP_MAX, 0), (ARENA_MAX, 1)
    if not all(libc.mallopt(*setting) for setting in settings):
        return False
    _in_large_pages(libc, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // SHARE)
    LOG.info("memory that a step frees is kept for the next: faster, and none is given back")
    return True


def accelerated() -> bool:
    """Whether JAX may find something else than processors here."""
    if os.environ.get("JAX_PLATFORMS", "").lower() == "cpu":
        return False
    return bool(launching.accelerators()) or importlib.util.find_spec("libtpu") is not None


def directed() -> bool:
    """Whether somebody directs glibc's memory by the environment."""
    return any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)


def _in_large_pages(libc: ctypes.CDLL, size: int) -> None:
    """Asks for large pages in the next `size` bytes of the heap; a system that refuses has none."""
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.free.argtypes = [ctypes.c_void_p]
    if start := libc.malloc(size):
        first = -(-start // HUGE) * HUGE
        libc.madvise(first, (start + size - first) // HUGE * HUGE, HUGEPAGE)
        libc.free(start)
