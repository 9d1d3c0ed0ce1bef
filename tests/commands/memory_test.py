"""Memory that was used once is used again: pages are touched for the first time once."""

import subprocess
import sys

import pytest

from m3i_jax.commands import _memory as memory

# As a step does it: a thread of its own takes a large piece, fills it, gives it back.
FAULTS = """
import ctypes, resource, sys, threading
from m3i_jax.commands import _memory as memory

SIZE, libc = 64 * 2**20, ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def use():
    piece = libc.malloc(SIZE)
    libc.memset(piece, 1, SIZE)
    libc.free(piece)

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    worker = threading.Thread(target=use)
    worker.start()
    worker.join()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

assert sys.argv[1] != "kept" or memory.keep()
faults()
print(faults())
"""


def faults(how):
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True,
        env={"PATH": "", "PYTHONPATH": ":".join(sys.path), "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's memory")
def test_a_thread_finds_the_pages_of_the_one_before():
    assert faults("kept") < 64
    assert faults("given back") > 64 * 2**20 // 2**21  # in pages of 2 MiB at the largest


def test_who_directs_memory_or_computes_elsewhere_is_left_alone(monkeypatch):
    monkeypatch.setattr(memory, "_in_large_pages", None)  # nothing gets as far as that
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("MALLOC_ARENA_MAX", "4")
    assert not memory.accelerated() and not memory.keep()
    monkeypatch.delenv("MALLOC_ARENA_MAX")
    monkeypatch.delenv("JAX_PLATFORMS")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert memory.accelerated() and not memory.keep()
