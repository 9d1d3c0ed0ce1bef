"""Images, archives and tables."""

import io
import json
import os
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hostile.attack import Attack, Touch, nested, sparse
from m3i_jax.data import sources


def png(width: int = 2, height: int = 2) -> bytes:
    """A sound image."""
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, "PNG")
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """One of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def canvas(width: int, height: int, *others: bytes, data: bytes = b"") -> bytes:
    """A PNG that says it has this size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [
        chunk(b"IHDR", head),
        *others,
        chunk(b"IDAT", zlib.compress(data)),
        chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def source(name: str, **block: Any) -> Callable[[Path], str]:
    """A reader of the first record of a source, as a run reads it: one that is broken is said."""

    def read(folder: Path) -> str:
        root = block.get("root", "")
        found = sources.source({**block, "name": name, "root": str(folder / root)}, split="train")
        try:
            sample = found[0]
        except ValueError as error:
            return f"a broken record of {len(found)}: {error}"
        return f"read {sample.image.shape} of {len(found)}, {sample.captions}"

    return read


def image(content: bytes | Callable[[Path], bytes], *, name: str = "a.png") -> Any:
    """make() of a folder with one image."""

    def make(folder: Path, canary: Path) -> None:
        (folder / "train" / "cat").mkdir(parents=True)
        data = content(canary) if callable(content) else content
        (folder / "train" / "cat" / name).write_bytes(data)

    return make


def other(make: Callable[[Path], object]) -> Any:
    """make() of a folder in which something else has the name of an image."""

    def write(folder: Path, _: Path) -> None:
        (folder / "train" / "cat").mkdir(parents=True)
        make(folder / "train" / "cat" / "a.png")

    return write


def frames(_: Path) -> bytes:
    """A GIF of 5000 frames."""
    out = io.BytesIO()
    many = [Image.new("P", (1, 1), n % 256) for n in range(5000)]
    many[0].save(out, "GIF", save_all=True, append_images=many[1:])
    return out.getvalue()


def scans(_: Path) -> bytes:
    """A JPEG of 4000 x 4000 pixels whose last scan is there 20 000 times."""
    out = io.BytesIO()
    Image.new("L", (4000, 4000)).save(out, "JPEG", progressive=True)
    data = out.getvalue()
    at = data.rfind(b"\xff\xda")
    return data[:at] + data[at:-2] * 20_000 + data[-2:]


def directories(_: Path) -> bytes:
    """A TIFF whose directory is the one that follows it, with tags of 4 GB."""
    entry = struct.pack("<HHII", 273, 4, 2**30, 8)
    return b"II*\x00\x08\x00\x00\x00" + struct.pack("<H", 3) + entry * 3 + struct.pack("<I", 8)


EPS = (
    "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%touch {0}) (w) file closefile\n%%EOF\n"
)
SVG = '<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>'
IMAGES = (
    ("PNG of 50 000 x 50 000", image(canvas(50_000, 50_000))),
    ("PNG of 2^31 x 1", image(canvas(2**31 - 1, 1))),
    ("PNG whose 60 MP are 60 kB", image(lambda _: canvas(7700, 7700, data=bytes(7700 * 23101)))),
    (
        "PNG with 256 MB of text",
        image(lambda _: canvas(2, 2, chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(2**28))))),
    ),
    (
        "PNG with a profile of 256 MB",
        image(lambda _: canvas(2, 2, chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(2**28))))),
    ),
    ("PNG chunks without end", image(b"\x89PNG\r\n\x1a\n" + chunk(b"tEXt", b"a\0b") * 10**5)),
    ("GIF of 5000 frames", image(frames, name="a.gif")),
    ("JPEG of 20 000 scans", image(scans, name="a.jpg")),
    ("TIFF with a directory in a loop", image(directories, name="a.tif")),
    (
        "PostScript that starts a program",
        image(lambda canary: EPS.format(canary).encode(), name="a.jpg"),
    ),
    ("SVG with a file of the system", image(SVG.encode(), name="a.png")),
    ("8 TB of nothing", other(lambda path: sparse(path, 2**43, head=png()))),
    ("a pipe", other(os.mkfifo)),
    ("a link to a device", other(lambda path: path.symlink_to("/dev/zero"))),
    ("a link to /etc/passwd", other(lambda path: path.symlink_to("/etc/passwd"))),
    ("a link to itself", other(lambda path: path.symlink_to(path.name))),
)


# Archives.


def zipped(
    members: Iterable[tuple[str | zipfile.ZipInfo, bytes | int]], *, packed: bool = False
) -> Any:
    """make() of a zip of these members; an int: so many bytes of "a "."""

    def make(folder: Path, _: Path) -> None:
        kind = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
        with warnings.catch_warnings(), zipfile.ZipFile(folder / "x.zip", "w", kind) as file:
            warnings.simplefilter("ignore")  # of names that are there twice
            for name, data in members:
                file.writestr(name, b"a " * (data // 2) if isinstance(data, int) else data)

    return make


def zip_link(target: str) -> zipfile.ZipInfo:
    """A link in a zip."""
    info = zipfile.ZipInfo("train/cat/b.png")
    info.external_attr = 0o120777 << 16
    return info


def many(folder: Path, _: Path) -> None:
    """A zip of 200 000 names of one member: the list says where, and nothing else is there."""
    with zipfile.ZipFile(folder / "x.zip", "w") as file:
        file.writestr("train/cat/a.png", png())
    data = (folder / "x.zip").read_bytes()
    at = data.find(b"PK\1\2")
    end = data.find(b"PK\5\6")
    entry, count = data[at:end], 60_000
    last = bytearray(data[end:])
    last[8:12] = struct.pack("<HH", count, count)
    last[12:16] = struct.pack("<I", len(entry) * count)
    (folder / "x.zip").write_bytes(data[:at] + entry * count + bytes(last))


ZIPS = (
    (
        "names that lead elsewhere",
        zipped(
            [
                ("../../outside.png", png()),
                ("/tmp/m3i_outside.png", png()),
                ("a/../../b.png", png()),
            ]
        ),
    ),
    ("a link to /etc/passwd", zipped([("train/cat/a.png", png()), (zip_link(""), b"/etc/passwd")])),
    ("256 MB in 256 kB", zipped([("train/cat/a.png", 2**28)], packed=True)),
    (
        "256 MB of captions",
        zipped([("train/cat/a.png", png()), ("train/cat/a.txt", 2**28)], packed=True),
    ),
    ("60 000 members in one place", many),
    (
        "a zip in a zip in a zip",
        zipped([("train/cat/a.zip", b"PK\3\4" + bytes(10**6))], packed=True),
    ),
    ("names 20 000 folders deep", zipped([("d/" * 20_000 + "a.png", png())])),
)


def tarred(*members: tuple[tarfile.TarInfo, bytes]) -> Any:
    """make() of a tar of these members."""

    def make(folder: Path, _: Path) -> None:
        with tarfile.open(folder / "0.tar", "w") as file:
            for info, data in members:
                info.size = info.size or len(data)
                file.addfile(info, io.BytesIO(data))

    return make


def member(
    name: str, *, kind: bytes = tarfile.REGTYPE, link: str = "", **other: Any
) -> tarfile.TarInfo:
    """A head of a tar."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    for field, value in other.items():
        setattr(info, field, value)
    return info


def sized(size: bytes) -> Any:
    """make() of a tar whose first member has this field of its size."""

    def make(folder: Path, _: Path) -> None:
        tarred((member("a.png"), png()))(folder, _)
        data = bytearray((folder / "0.tar").read_bytes())
        data[124:136] = size.ljust(12, b"\0")
        data[148:156] = b" " * 8
        data[148:156] = b"%06o\0 " % sum(data[:512])
        (folder / "0.tar").write_bytes(data)

    return make


TARS = (
    (
        "names that lead elsewhere",
        tarred((member("../../outside.png"), png()), (member("/tmp/m3i_outside.png"), png())),
    ),
    (
        "links and a device",
        tarred(
            (member("a.png", kind=tarfile.SYMTYPE, link="/etc/passwd"), b""),
            (member("b.png", kind=tarfile.LNKTYPE, link="/etc/passwd"), b""),
            (member("c.png", kind=tarfile.CHRTYPE, devmajor=1, devminor=5), b""),
        ),
    ),
    ("a member of 2^63 bytes", sized(b"\x80" + bytes(3) + struct.pack(">Q", 2**63))),
    ("a member of -1 bytes", sized(b"\xff" * 12)),
    (
        "a name of 16 MB",
        tarred(
            (member("././@LongLink", kind=tarfile.GNUTYPE_LONGNAME), b"a" * 2**24),
            (member("a.png"), png()),
        ),
    ),
    (
        "words that say another size",
        tarred((member("a.png", pax_headers={"size": "9" * 30, "path": "../../b.png"}), png())),
    ),
    ("a device that is the archive", lambda folder, _: (folder / "0.tar").symlink_to("/dev/zero")),
    ("8 TB of nothing", lambda folder, _: sparse(folder / "0.tar", 2**43)),
)


# Tables.


def table(columns: dict[str, list], **how: Any) -> bytes:
    """A Parquet file."""
    import pyarrow as pa
    from pyarrow import parquet

    out = io.BytesIO()
    parquet.write_table(pa.table(columns), out, **how)
    return out.getvalue()


def parquet(content: Callable[[Path], bytes]) -> Any:
    """make() of a Parquet file of training."""
    return lambda folder, canary: (folder / "train-00000.parquet").write_bytes(content(canary))


def cells(canary: Path) -> bytes:
    """Cells that name files and programs in place of images."""
    named = [{"bytes": None, "path": "/etc/passwd"}, {"bytes": None, "path": f"|touch {canary}"}]
    return table({"image": named, "label": [0, 1]})


def swollen(_: Path) -> bytes:
    """One cell of 512 MB in a few kB."""
    return table({"image": [bytes(2**29)], "label": [0]}, compression="zstd")


def flipped(_: Path) -> bytes:
    """A foot whose counts are the largest there are."""
    data = bytearray(table({"image": [png()] * 4, "label": [0] * 4}))
    size = struct.unpack("<I", data[-8:-4])[0]
    foot = data[-8 - size : -8].replace(b"\x08", b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f")
    return bytes(data[: -8 - size] + foot + struct.pack("<I", len(foot)) + b"PAR1")


def saved(state: Any, info: Any = None, *, stream: bytes = b"") -> Any:
    """make() of what `save_to_disk` writes."""

    def make(folder: Path, _: Path) -> None:
        text = state if isinstance(state, str) else json.dumps(state)
        (folder / "state.json").write_text(text)
        (folder / "dataset_info.json").write_text(json.dumps(info or {}))
        (folder / "data.arrow").write_bytes(stream)

    return make


def message(size: int) -> bytes:
    """The head of an Arrow stream whose first message has this size."""
    return b"\xff\xff\xff\xff" + struct.pack("<i", size) + bytes(64)


PARQUET = (
    ("cells that name files", parquet(cells)),
    ("512 MB in a cell of 16 kB", parquet(swollen)),
    ("counts of 2^63", parquet(flipped)),
    ("a foot of 4 GB", parquet(lambda _: b"PAR1" + bytes(64) + b"\xff\xff\xff\xffPAR1")),
)
SAVED = (
    ("files elsewhere", saved({"_data_files": [{"filename": "../../x.arrow"}]})),
    ("a description 100 000 deep", saved(nested(10**5))),
    (
        "a message of 2 GB",
        saved({"_data_files": [{"filename": "data.arrow"}]}, stream=message(2**31 - 1)),
    ),
)


def shards(said: Any, *, labels: Callable[[Path], bytes] = lambda canary: b"") -> Any:
    """make() of a folder of shards."""

    def make(folder: Path, canary: Path) -> None:
        (folder / "dataset.json").write_text(said if isinstance(said, str) else json.dumps(said))
        (folder / "train.labels.npy").write_bytes(labels(canary))

    return make


def objects(canary: Path) -> bytes:
    """Labels that NumPy would unpickle."""
    out = io.BytesIO()
    np.save(out, np.array([Touch(canary)], object), allow_pickle=True)
    return out.getvalue()


def described(shard: dict, **split: Any) -> dict:
    """What is beside shards, of one shard."""
    entry = {
        "file": "train-00000-of-00001.array_record",
        "records": 1,
        "bytes": 1,
        "sha256": "0" * 64,
    }
    splits = {"train": {"shards": [entry | shard], "unknown": {}, "captioned": 0} | split}
    return {"format": "m3i.shards", "version": 1, "classes": ["a"], "made": {}, "splits": splits}


LABELS = {"file": "train.labels.npy", "records": 1, "bytes": 400, "sha256": "0" * 64}
SHARDS = (
    ("a shard elsewhere", shards(described({"file": "../../etc/passwd"}))),
    ("2^62 records", shards(described({"records": 2**62}))),
    ("labels that are objects", shards(described({}, labels=LABELS), labels=objects)),
    ("a description 100 000 deep", shards(nested(10**5, mark='{"a":'))),
)

READERS = (
    ("image", IMAGES, source("image_folder")),
    ("zip", ZIPS, source("image_folder", root="x.zip")),
    ("tar", TARS, source("tar_shards")),
    ("Parquet", PARQUET, source("parquet")),
    ("Arrow", SAVED, source("hf_dataset")),
    ("shards", SHARDS, source("array_record")),
)
ATTACKS = tuple(
    Attack(f"{what}: {name}", make, read) for what, found, read in READERS for name, make in found
)
