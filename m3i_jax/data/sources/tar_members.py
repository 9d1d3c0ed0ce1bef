"""The members of a tar file by their headers, wherever they lie, and what is wrong with it.

A header is a block of 512 bytes in front of the member's own: name, size and kind, with a sum over
all of its bytes. Longer names stand in a member of their own in front, of GNU ("L") or pax ("x").
POSIX ustar and pax, https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html.
"""

from collections.abc import Iterator
from typing import NamedTuple

from m3i_jax.data.sources.contents import Read

BLOCK = 512
AHEAD = 2**14  # bytes that are read at once: small members come with their header
FAR = 2**22  # of a file behind a URL: a request takes as long as some MB do
LONGEST = 2**16  # bytes of a name or of pax's words that are read
STRIDE = 2**20  # bytes that are looked through at once for the next header
SEARCHED = 2**32  # bytes in which a next header has to be: no member that is read has a tenth
KINDS = {
    "1": "link", "2": "link", "3": "device", "4": "device", "6": "pipe",
}  # fmt: skip
LONGER = "LKxXg"  # what says something of what follows: names, those of links, pax's words
CUT, BROKEN, ENDLESS = "cut off by the end of the file", "broken header", "missing end of a tar"
BAD = (CUT, BROKEN, ENDLESS)
SILENT = "5DVMN"  # folders, labels of volumes and their continuations


class Member(NamedTuple):
    """An ordinary file in a tar, or what else was met there.

    head: where its first header is.   data, size: where its bytes are.
    kind: "" of an ordinary file; else why this is none: "link", `BROKEN`, ...
    """

    name: str
    head: int
    data: int
    size: int
    kind: str = ""


class _Header(NamedTuple):
    name: str
    size: int
    kind: str


def members(read: Read, total: int) -> Iterator[Member]:
    """All members in order; folders are left out.

    Behind a broken header the next sound one is looked for, as behind the end of one archive that
    another was put behind. A member that the file ends in is `CUT`, and a file that does not end
    as a tar does has a last one, `ENDLESS`.

    Args:
      read: bytes of the file, `buffered`.
      total: how many it has.
    """
    place, member = 0, None
    while place + BLOCK <= total:
        member, place = _next(read, place, total)
        if member is not None:
            yield member
    if not (member and member.kind == CUT) and any(read(max(total - BLOCK, 0), BLOCK)):
        yield Member("", total, total, 0, ENDLESS)


def at(read: Read, head: int, total: int) -> Member | None:
    """The member whose first header is there."""
    return _next(read, head, total)[0]


def is_one(read: Read) -> bool:
    """Whether the file begins with a header, or with the blocks of zeros that end a tar."""
    block = read(0, BLOCK)
    return len(block) == BLOCK and (not any(block) or _header(block) is not None)


def _next(read: Read, place: int, total: int) -> tuple[Member | None, int]:
    """The member whose header is at `place`, or None where there is none, and where to go on."""
    head, words = place, {}
    while len(block := read(place, BLOCK)) == BLOCK:
        header = _header(block) if any(block) else None
        if header is None:
            following = _sound(read, place + BLOCK, total)
            broken = Member("", place, place, 0, BROKEN)
            return (broken if any(block) else None), following
        data, size = place + BLOCK, header.size
        if header.kind not in LONGER:
            size = words.get("size", size) if header.kind not in KINDS else 0  # a link has no bytes
            following = data + -(-size // BLOCK) * BLOCK
            if header.kind in SILENT:
                return None, following
            sparse = header.kind == "S" or "sparse" in words
            kind = "sparse file" if sparse else KINDS.get(header.kind, "")
            kind = kind or CUT * (data + size > total)
            return Member(words.get("path", header.name), head, data, size, kind), following
        place = data + -(-size // BLOCK) * BLOCK
        if header.kind in "Lx":
            if size > LONGEST:
                return Member("", head, data, 0, "too long a name"), place
            words |= _words(header.kind, read(data, size))
    return Member("", head, place, 0, CUT), total


def _header(block: bytes) -> _Header | None:
    """What a header says; None of a block whose sum is wrong, or that says no size."""
    try:
        if _number(block[148:156]) != sum(block[:148]) + 256 + sum(block[156:]):
            return None
        size = _number(block[124:136])
    except ValueError:
        return None
    name = _text(block[:100])
    if block[257:263] == b"ustar\0" and block[345]:
        name = f"{_text(block[345:500])}/{name}"
    kind = chr(block[156])
    if kind in "\007" and name.endswith("/"):  # as tars before POSIX say a folder
        kind = "5"
    return _Header(name, size, kind)


def _number(field: bytes) -> int:
    """An octal number, or one in base 256, as GNU writes larger ones.

    Raises:
      ValueError: it is neither, or negative.
    """
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0")[0].strip()
    if not digits.isdigit():
        raise ValueError(digits)
    return int(digits, 8)


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode("utf-8", "surrogateescape")


def _words(kind: str, data: bytes) -> dict:
    """Name and size that a longer header says of what follows; `LENGTH KEY=VALUE` lines of pax."""
    if kind == "L":
        return {"path": _text(data)}
    words: dict = {}
    while data:
        length, _, rest = data.partition(b" ")
        if not length.isdigit() or not 0 < (count := int(length[:9])) <= len(data):
            break
        key, _, value = data[len(length) + 1 : count].rstrip(b"\n").partition(b"=")
        if key == b"path":
            words["path"] = _text(value)
        elif key == b"size" and value.isdigit() and len(value) < 20:
            words["size"] = int(value)
        elif key.startswith(b"GNU.sparse"):
            words["sparse"] = True
        data = data[count:]
    return words


def _sound(read: Read, place: int, total: int) -> int:
    """Where the next header of POSIX's or GNU's is; the end of the file where there is none."""
    end = min(total, place + SEARCHED)
    while place + BLOCK <= end:
        stretch = read(place, STRIDE)
        at = 0
        while (mark := stretch.find(b"ustar", at)) >= 0:
            start, at = mark - 257, mark + 1
            block = stretch[start : start + BLOCK] if start >= 0 and not start % BLOCK else b""
            if len(block) == BLOCK and _header(block):
                return place + start
        place += STRIDE
    return total


def buffered(read: Read, *, ahead: int) -> Read:
    """Reads of small pieces from larger ones of `ahead` bytes, as the next header is often near."""
    start, kept = 0, b""

    def piece(offset: int, size: int) -> bytes:
        nonlocal start, kept
        if size > ahead:
            return read(offset, size)
        if not start <= offset <= offset + size <= start + len(kept):
            start, kept = offset, read(offset, ahead)
        return kept[offset - start : offset - start + size]

    return piece
