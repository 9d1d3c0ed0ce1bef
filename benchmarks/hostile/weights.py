"""Weights: safetensors and their indices, torch, ONNX, NumPy, checkpoints."""

import contextlib
import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hostile.attack import Attack, Touch, nested, sparse
from m3i_jax.checkpoints.checkpoint import Checkpoints
from m3i_jax.data import sources
from m3i_jax.interop import importing, onnx_file, torch_file

HUGE = 2**62


def safetensors(header: dict | str | bytes, *, data: bytes = b"", size: int | None = None) -> Any:
    """make() of a safetensors file with this header. size: that it says its header has."""
    text = header if isinstance(header, str | bytes) else json.dumps(header)
    text = text.encode() if isinstance(text, str) else text

    def make(folder: Path, _: Path) -> None:
        head = struct.pack("<Q", len(text) if size is None else size)
        (folder / "model.safetensors").write_bytes(head + text + data)

    return make


def tensor(shape: list, start: int, stop: int, kind: str = "F32") -> dict:
    """An entry of a header."""
    return {"dtype": kind, "shape": shape, "data_offsets": [start, stop]}


def weights(folder: Path) -> str:
    """As every command reads weights."""
    found = importing.read(folder)
    return f"read {len(found.params)} arrays"


def index(places: Any, *, other: Callable[[Path], object] = lambda folder: None) -> Any:
    """make() of an index of shards, and of what else there is."""

    def make(folder: Path, _: Path) -> None:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
        other(folder)

    return make


SAFETENSORS = (
    ("a header of 2^63 bytes", safetensors({}, size=2**63)),
    ("a header longer than the file", safetensors({}, size=10**9)),
    ("a header of lists 100 000 deep", safetensors('{"a":' + nested(10**5) + "}")),
    ("numbers behind the end of the file", safetensors({"a": tensor([4], 0, 16)}, data=b"1234")),
    (
        "arrays that lie over each other",
        safetensors({"a": tensor([2], 0, 8), "b": tensor([2], 4, 12)}, data=bytes(12)),
    ),
    (
        "a shape whose product is 2^124",
        safetensors({"a": tensor([HUGE, HUGE], 0, 16)}, data=bytes(16)),
    ),
    ("a shape of 2^62 times 0", safetensors({"a": tensor([HUGE, 0], 0, 0)})),
    ("negative places", safetensors({"a": tensor([1], -4, 0)}, data=bytes(4))),
    (
        "weights that are not finite",
        safetensors({"norm.weight": tensor([1], 0, 4)}, data=b"\xff\xff\xff\xff"),
    ),
    ("a name of 10 MB", safetensors({"a" * 10**7: tensor([1], 0, 4)}, data=bytes(4))),
    (
        "200 000 arrays of nothing",
        safetensors({f"a{n}": tensor([0], 0, 0) for n in range(200_000)}),
    ),
    (
        "a name that leads elsewhere",
        safetensors({"../../canary": tensor([1], 0, 4)}, data=bytes(4)),
    ),
    ("a shard elsewhere", index({"a": "../../outside.safetensors"})),
    ("a pipe for a shard", index({"a": "s"}, other=lambda folder: os.mkfifo(folder / "s"))),
    (
        "a device for a shard",
        index({"a": "s"}, other=lambda folder: (folder / "s").symlink_to("/dev/zero")),
    ),
    ("a shard that is its index", index({"a": "model.safetensors.index.json"})),
    ("a pipe for the weights", lambda folder, _: os.mkfifo(folder / "model.safetensors")),
    (
        "8 TB of zeros for the weights",
        lambda folder, _: sparse(folder / "model.safetensors", 2**43),
    ),
)


# Torch.


def archive(content: bytes, *others: tuple[str, bytes], packed: bool = False) -> Any:
    """make() of what torch.save writes around a pickle."""

    def make(folder: Path, canary: Path) -> None:
        kind = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
        with zipfile.ZipFile(folder / "x.pth", "w", kind) as file:
            file.writestr("x/data.pkl", content)
            file.writestr("x/version", "3")
            file.writestr("x/byteorder", "little")
            for name, data in others:
                file.writestr(name, data)

    return make


def code(write: Callable[[Path, Any], object]) -> Any:
    """make() with what touches the canary."""
    return lambda folder, canary: write(folder / "x.pth", Touch(canary))


def in_archive(path: Path, value: Any) -> None:
    """As torch.save would."""
    archive(pickle.dumps({"model": {"a": value}}, protocol=2))(path.parent, path)


def tensors(make: Callable[[Any], Any]) -> Any:
    """make() of what torch itself writes."""

    def write(folder: Path, _: Path) -> None:
        import torch

        torch.save(make(torch), folder / "x.pth")

    return write


def doubled(levels: int) -> bytes:
    """The pickle of a dict that has itself's child twice, `levels` deep: 2^levels when walked."""
    out = io.BytesIO()
    out.write(b"\x80\x02}q\x00")  # {} is memo 0
    for level in range(levels):
        out.write(b"}q" + bytes([level + 1]))  # a new dict, which has the last one twice
        for key in (b"a", b"b"):
            out.write(b"X" + struct.pack("<I", 1) + key + b"h" + bytes([level]) + b"s")
    out.write(b".")
    return out.getvalue()


def deep(levels: int) -> bytes:
    """The pickle of dicts in each other."""
    key = b"X" + struct.pack("<I", 1) + b"a"
    return b"\x80\x02" + (b"}" + key) * levels + b"K\x01" + b"s" * levels + b"."


def torch(folder: Path) -> str:
    """As `m3i convert --torch` reads."""
    found = torch_file.read(folder / "x.pth")
    return f"read {sum(x.nbytes for x in found.values())} bytes"


TORCH = (
    ("os.system in an archive", code(in_archive)),
    ("os.system in a plain pickle", code(lambda path, x: path.write_bytes(pickle.dumps(x)))),
    ("os.system as a list's append", code(lambda path, x: in_archive(path, [x, {"b": x}]))),
    ("builtins.eval by name", archive(b"\x80\x02cbuiltins\neval\nX\x05\x00\x00\x001 + 1\x85R.")),
    ("a dict that is 2^50 dicts", archive(doubled(50))),
    ("dicts 100 000 deep", archive(deep(10**5))),
    ("a million numbers of one", tensors(lambda torch: {"a": torch.zeros(1).expand(10**6, 10**6)})),
    (
        "a tensor without numbers",
        tensors(lambda torch: {"a": torch.zeros(10**6, 10**6, device="meta")}),
    ),
    (
        "sparse numbers of 4 TB",
        tensors(lambda torch: {"a": torch.sparse_coo_tensor([[0], [0]], [1.0], (10**6, 10**6))}),
    ),
    ("a packed pickle of 16 MB", archive(b"\x80\x02" + b"N0" * 2**23 + b"}.", packed=True)),
    (
        "members that lead elsewhere",
        archive(b"\x80\x02}.", ("../../../outside", b"1"), ("/tmp/m3i_outside", b"1")),
    ),
    ("a pipe", lambda folder, _: os.mkfifo(folder / "x.pth")),
)


# ONNX.


def graph(change: Callable[[Any], object]) -> Any:
    """make() of a graph with one weight, which is then changed."""

    def make(folder: Path, _: Path) -> None:
        import onnx
        from onnx import helper, numpy_helper

        weight = numpy_helper.from_array(np.zeros((2, 2), np.float32), "a.weight")
        node = helper.make_node("MatMul", ["x", "a.weight"], ["y"])
        model = helper.make_model(helper.make_graph([node], "g", [], [], [weight]))
        change(model.graph.initializer[0])
        (folder / "x.onnx").write_bytes(model.SerializeToString())
        assert onnx

    return make


def elsewhere(weight: Any) -> None:
    """Its numbers are those of a file of the system."""
    weight.ClearField("raw_data")
    weight.data_location = 1
    entry = weight.external_data.add()
    entry.key, entry.value = "location", "../../../../etc/passwd"


def large(weight: Any) -> None:
    """Its shape is larger than its numbers."""
    del weight.dims[:]
    weight.dims.extend([2**40, 2**20])


def onnx(folder: Path) -> str:
    """As `m3i convert` reads."""
    return f"read {len(onnx_file.read(folder / 'x.onnx').arrays)} arrays"


ONNX = (
    ("numbers in /etc/passwd", graph(elsewhere)),
    ("a shape of 2^60", graph(large)),
    ("no graph", lambda folder, _: (folder / "x.onnx").write_bytes(b"\x08" * 10**6)),
)


# NumPy.


def header(text: str, *, data: bytes = b"") -> bytes:
    """A .npy file with this header."""
    said = text.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(said)) + said + data


def npy(content: Callable[[Path], bytes]) -> Any:
    """make() of train images that are these bytes."""

    def make(folder: Path, canary: Path) -> None:
        (folder / "train").mkdir()
        (folder / "train" / "images.npy").write_bytes(content(canary))

    return make


def npz(members: Callable[[Path], dict[str, bytes]], *, packed: bool = False) -> Any:
    """make() of an .npz of these members."""

    def make(folder: Path, canary: Path) -> None:
        kind = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
        with zipfile.ZipFile(folder / "train.npz", "w", kind) as file:
            for name, data in members(canary).items():
                file.writestr(name, data)

    return make


def objects(canary: Path) -> bytes:
    """An array of objects, which NumPy would unpickle."""
    out = io.BytesIO()
    np.save(out, np.array([Touch(canary)], object), allow_pickle=True)
    return out.getvalue()


def bomb(canary: Path) -> dict[str, bytes]:
    """4 GB of zeros in 4 MB."""
    shape = "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 32, 44, 3), }"
    return {"images.npy": header(shape) + bytes(2**28)}


def arrays(folder: Path) -> str:
    """As a run reads images."""
    found = sources.source({"name": "arrays", "root": str(folder)}, split="train")
    return f"read {found[0].image.shape} of {len(found)}"


HEADER = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }"
ARRAYS = (
    ("an array of objects", npy(objects)),
    ("objects in an archive", npz(lambda canary: {"images.npy": objects(canary)})),
    ("a shape of 2^60", npy(lambda _: header(HEADER % ("|u1", f"({2**40}, {2**20}, 3)")))),
    ("a negative shape", npy(lambda _: header(HEADER % ("|u1", "(-1, 8, 8, 3)"), data=bytes(192)))),
    (
        "a header that is a call",
        npy(lambda canary: header(f"__import__('os').system('touch {canary}')")),
    ),
    ("a header of brackets", npy(lambda _: header("(" * 100))),
    ("4 GB in 256 kB", npz(bomb, packed=True)),
    (
        "members that lead elsewhere",
        npz(
            lambda _: {"../../images.npy": header(HEADER % ("|u1", "(1, 2, 2, 3)"), data=bytes(12))}
        ),
    ),
)


# Checkpoints.


def checkpoint(change: Callable[[Path], object]) -> Any:
    """make() of a step whose files somebody changed, and sealed again."""

    def make(folder: Path, _: Path) -> None:
        import jax.numpy as jnp

        from m3i_jax.checkpoints import storage

        with Checkpoints(folder / "checkpoints") as kept:
            kept.save(1, {"ema": {"w": jnp.arange(600.0)}}, {}, wait=True)
        step = folder / "checkpoints" / "1"
        said = json.loads((step / "manifest.json").read_text())
        change(step)
        storage.seal(step, {name: said[name] for name in ("step", "meta", "items")})

    return make


def rewritten(name: str, text: str) -> Callable[[Path], object]:
    """One of Orbax's own files is this."""
    return lambda step: (step / "ema" / name).write_text(text)


def zarr(step: Path) -> None:
    """Orbax's description of an array has 2^40 rows."""
    path = step / "ema" / "_METADATA"
    said = json.loads(path.read_text())
    for leaf in said["tree_metadata"].values():
        leaf["value_metadata"]["write_shape"] = [2**40]
    path.write_text(json.dumps(said))


def restored(folder: Path) -> str:
    """As every reader of a work directory's weights."""
    item = Checkpoints(folder / "checkpoints", read_only=True).restore_item(1, "ema")
    with contextlib.suppress(KeyError):
        return f"read {item['w'].shape}"
    return "read nothing"


CHECKPOINTS = (
    ("Orbax's description 100 000 deep", checkpoint(rewritten("_METADATA", nested(10**5)))),
    ("Orbax's description of another kind", checkpoint(rewritten("_METADATA", "[]"))),
    ("Orbax's shapes of 2^40", checkpoint(zarr)),
    (
        "Orbax's shardings as a call",
        checkpoint(rewritten("_sharding", '{"dw==": "__import__(\'os\').abort()"}')),
    ),
    ("a database of noise", checkpoint(rewritten("manifest.ocdbt", "\x00" * 1000))),
)

READERS = (
    ("safetensors", SAFETENSORS, weights),
    ("torch", TORCH, torch),
    ("ONNX", ONNX, onnx),
    ("NumPy", ARRAYS, arrays),
    ("checkpoint", CHECKPOINTS, restored),
)
ATTACKS = tuple(
    Attack(f"{what}: {name}", make, read) for what, found, read in READERS for name, make in found
)
