r"""What it costs to open a data set of many small records, source by source: time and memory.

    python benchmarks/sources.py --records 100000 --source tar_shards,parquet,array_record

Every source gets the same records, JPEGs of about 1 kB with a class and a caption, in ten files
where it has files. It is opened in a process of its own, which says how long that took, how much
larger it became, and how long reading and decoding a record at random takes. A source that makes an
index is opened a second time.
"""

import argparse
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent
CLASSES, FILES, DRAWN, READ = 10, 10, 256, 2000
SAID = "  {cpu:.2f} s of processor ({wall:.2f} by the clock), {mib:.0f} MiB; {ms:.2f} ms a record"
NAMES = [f"class {n}" for n in range(CLASSES)]
Record = tuple[bytes, int, str]


def main(argv: Sequence[str] | None = None) -> int:
    """Writes, opens, prints, and returns an exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--records", type=int, default=100_000, help="in each source (default 100000)")
    add("--source", default=",".join(WRITE), help="names of sources, parted by commas (all)")
    add("--opened", metavar="BLOCK", help=argparse.SUPPRESS)  # what a process of its own does
    given = parser.parse_args(argv)
    sys.path.insert(0, str(ROOT))
    if given.opened:
        print(json.dumps(opened(json.loads(given.opened))))
        return 0
    print(f"{given.records} records; load {os.getloadavg()[0]:.1f}", flush=True)
    for name in given.source.split(","):
        with tempfile.TemporaryDirectory(prefix="sources-") as folder:
            start = time.process_time()
            block = {"name": name, **WRITE[name](pathlib.Path(folder), given.records)}
            print(
                f"{name}: written in {time.process_time() - start:.1f} s of processor", flush=True
            )
            for _ in range(2):
                command = [sys.executable, __file__, "--opened", json.dumps(block)]
                said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                print(SAID.format(**json.loads(said)), flush=True)
    return 0


def opened(block: dict) -> dict[str, float]:
    """Seconds and MiB that opening takes, milliseconds of processor for a record at random."""
    from m3i_jax import data

    data.source({"name": "digit_scenes", "length": 1}, split="train")  # what is imported late
    imported(block["name"])
    before, wall, cpu = resident(), time.perf_counter(), time.process_time()
    source = data.source(block, split="train")
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    mib = (resident() - before) / 2**20
    chosen = np.random.default_rng(0).integers(len(source), size=READ)
    source[0]
    start = time.process_time()
    for index in chosen:
        source[int(index)]
    return {"wall": wall, "cpu": cpu, "mib": mib, "ms": 1e3 * (time.process_time() - start) / READ}


def imported(name: str) -> None:
    """Imports what a source would import when it is opened first."""
    if name in ("parquet", "hf_dataset"):
        import pyarrow.parquet  # noqa: F401
    if name == "array_record":
        from array_record.python import array_record_module  # noqa: F401
    if name == "tfds":
        import tensorflow_datasets

        _ = tensorflow_datasets.core.GeneratorBasedBuilder, tensorflow_datasets.features.Image


def resident() -> int:
    """Bytes of this process that are in memory, those of mapped files among them."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def drawn(count: int) -> Iterator[Record]:
    """The records."""
    rng, files = np.random.default_rng(0), []
    for _ in range(DRAWN):
        small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
        small.resize((48, 48), Image.Resampling.BICUBIC).save(file := io.BytesIO(), "JPEG")
        files.append(file.getvalue())
    for n in range(count):
        yield files[n % DRAWN], n % CLASSES, f"picture {n}"


def parts(count: int) -> Iterator[tuple[int, list[Record]]]:
    """The records of each file."""
    records, number = list(drawn(count)), 0
    for number, chosen in enumerate(np.array_split(np.arange(count), FILES)):
        yield number, [records[n] for n in chosen]


def image_folder(folder: pathlib.Path, count: int) -> dict:
    """A zip file of folders of classes."""
    with zipfile.ZipFile(folder / "x.zip", "w") as file:
        for n, (image, label, _) in enumerate(drawn(count)):
            file.writestr(f"train/{NAMES[label]}/{n}.jpg", image)
    return {"root": str(folder / "x.zip")}


def tar_shards(folder: pathlib.Path, count: int) -> dict:
    """Three members a record, as WebDataset has them."""
    n = 0
    for number, records in parts(count):
        with tarfile.open(folder / f"train-{number}.tar", "w") as file:
            for image, label, text in records:
                for suffix, content in (("jpg", image), ("cls", str(label)), ("txt", text)):
                    content = content if isinstance(content, bytes) else content.encode()
                    member = tarfile.TarInfo(f"{n:09d}.{suffix}")
                    member.size = len(content)
                    file.addfile(member, io.BytesIO(content))
                n += 1
    return {"root": str(folder)}


def _table(records: list[Record]):
    import pyarrow as arrow

    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": NAMES}}
    said = {"huggingface": json.dumps({"info": {"features": features}})}
    image = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    kinds = [("image", image), ("label", arrow.int64()), ("text", arrow.string())]
    columns = [
        [{"bytes": i} for i, *_ in records],
        [r[1] for r in records],
        [r[2] for r in records],
    ]
    return arrow.table(columns, arrow.schema(kinds, said))


def parquet(folder: pathlib.Path, count: int) -> dict:
    """Groups of 100 rows."""
    from pyarrow import parquet as library

    for number, records in parts(count):
        file = folder / f"train-{number:05d}-of-{FILES:05d}.parquet"
        library.write_table(_table(records), file, row_group_size=100)
    return {"root": str(folder)}


def hf_dataset(folder: pathlib.Path, count: int) -> dict:
    """What `save_to_disk` writes, in batches of 1000 rows."""
    import pyarrow as arrow

    files = [f"data-{n:05d}-of-{FILES:05d}.arrow" for n in range(FILES)]
    (folder / "train").mkdir()
    for number, records in parts(count):
        table = _table(records)
        with arrow.ipc.new_stream(folder / "train" / files[number], table.schema) as stream:
            stream.write_table(table, max_chunksize=1000)
    state = {"_data_files": [{"filename": name} for name in files], "_split": "train"}
    (folder / "train" / "state.json").write_text(json.dumps(state))
    (folder / "train" / "dataset_info.json").write_text("{}")
    return {"root": str(folder)}


def array_record(folder: pathlib.Path, count: int) -> dict:
    """The copy that `m3i prepare` makes."""
    tars = folder / "tars"
    tars.mkdir()
    tar_shards(tars, count)
    names = tars / "classes.txt"
    names.write_text("\n".join(NAMES))
    made = [sys.executable, "-m", "m3i_jax", "prepare", f"--data=tar_shards:root={tars}"]
    made += [f"--output={folder / 'copy'}", f"--shards={FILES}"]
    subprocess.run(
        made, check=True, capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    return {"root": str(folder / "copy")}


def tfds(folder: pathlib.Path, count: int) -> dict:
    """Written by the library itself, as ArrayRecord."""
    import tensorflow_datasets as library

    of = library.features
    said = {"image": of.Image(), "label": of.ClassLabel(names=NAMES), "text": of.Text()}

    def rows() -> Iterator[tuple[int, dict]]:
        for n, (image, label, text) in enumerate(drawn(count)):
            yield n, {"image": io.BytesIO(image), "label": label, "text": text}

    class Drawn(library.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = library.core.Version("1.0.0")
        pkg_dir_path = folder
        _info = lambda self: library.core.DatasetInfo(  # noqa: E731
            builder=self, features=of.FeaturesDict(said)
        )
        _split_generators = lambda self, _: {"train": rows()}  # noqa: E731
        _generate_examples = None

    Drawn(data_dir=str(folder), file_format="array_record").download_and_prepare()
    return {"root": str(folder / "drawn" / "1.0.0")}


def arrays(folder: pathlib.Path, count: int) -> dict:
    """Pixels of 16 x 16 in one file, which is mapped."""
    images = np.lib.format.open_memmap(folder / "x_train.npy", "w+", np.uint8, (count, 16, 16, 3))
    images[:] = np.random.default_rng(0).integers(0, 256, images.shape[1:], np.uint8)
    np.save(folder / "y_train.npy", np.arange(count) % CLASSES)
    np.save(folder / "captions_train.npy", np.array([f"picture {n}" for n in range(count)]))
    return {"root": str(folder)}


WRITE: dict[str, Callable[[pathlib.Path, int], dict]] = {
    write.__name__: write
    for write in (image_folder, tar_shards, parquet, array_record, hf_dataset, tfds, arrays)
}

if __name__ == "__main__":
    sys.exit(main())
