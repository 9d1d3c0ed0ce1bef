"""Parts of files that are decoded as a whole, of which a few are kept: at most so many bytes.

Several threads may ask for one part: the first of them reads it, the others wait for that.
"""

import collections
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any

KEPT = 2**28  # bytes


class Kept:
    """The parts that were asked for last; `size` bytes of them, and always the last one.

    What threads are reading at once comes on top of it.
    """

    def __init__(self, read: Callable[[Hashable], tuple[Any, int]], *, size: int = KEPT):
        """read: of a key, the part and how many bytes it has."""
        self._read, self._limit, self._held = read, size, 0
        self._parts: collections.OrderedDict[Hashable, Future] = collections.OrderedDict()
        self._sizes: dict[Hashable, int] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """A copy for another process starts empty."""
        return {"read": self._read, "size": self._limit}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """As `__getstate__` says."""
        self.__init__(state["read"], size=state["size"])

    def __getitem__(self, key: Hashable) -> Any:
        """The part; what reading it raises is raised, and nothing is kept of it."""
        with self._lock:
            part = self._parts.get(key)
            mine = part is None
            if mine:
                part = self._parts[key] = Future()
            self._parts.move_to_end(key)
        if mine:
            self._fill(key, part)
        return part.result()

    def _fill(self, key: Hashable, part: Future) -> None:
        try:
            value, size = self._read(key)
        except BaseException as error:
            with self._lock:
                del self._parts[key]
            part.set_exception(error)
            return
        with self._lock:
            self._sizes[key] = size
            self._held += size
            for other in [k for k in self._parts if k != key and k in self._sizes]:
                if self._held <= self._limit:
                    break
                del self._parts[other]
                self._held -= self._sizes.pop(other)
        part.set_result(value)
