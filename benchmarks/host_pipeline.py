r"""What the host needs for two 224-px views of a JPEG: libraries side by side, and the loaders.

    python benchmarks/host_pipeline.py --core 0 --rounds 7

Photographs of scikit-learn and scikit-image, 500 x 375 as ImageNet's are and of about as many
bytes. Every round decodes all of them and cuts two random crops of each (area .08 to 1) by every
library, one after the other; milliseconds of processor time for an image, which others on the
machine disturb less than time by the clock. The peer is what torchvision's transforms do of an
image, by Pillow: open, convert, crop, resize (antialiased, bicubic). How far views are from
Pillow's is said in grey levels. Then the same through our stream and, where torch is installed,
through its DataLoader, whose workers are counted: views cut by Pillow, and by torchvision as it is
called in practice, of its `ImageFolder`; and rows that are ready, which leaves the cost of the
loader. Libraries that are not installed are left out: pip install 'm3i_jax[fast]' kornia_rs.
"""

import argparse
import io
import json
import os
import pathlib
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent
SIZE, HEIGHT, WIDTH = 224, 375, 500
BATCHES = 6  # that a loader is asked for
LENGTH = 2**20  # records, which are those files again and again
Views = list[np.ndarray]


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints, and returns an exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--core", type=int, help="run on this core alone")
    add("--rounds", type=int, default=7, help="to time (default 7)")
    add("--quality", type=int, default=98, help="of the JPEGs (default 98: about 106 kB)")
    add("--larger", type=int, default=1, help="times as long sides as ImageNet's (default 1)")
    add("--batch", type=int, default=64, help="of the loaders (default 64)")
    add("--first", type=int, default=0, help="rows of a first batch that is timed alone (0 = none)")
    add("--json", metavar="FILE", help="also write the figures there")
    given = parser.parse_args(argv)
    if given.core is not None:
        os.sched_setaffinity(0, {given.core})
    sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
    files = photographs(given.quality, given.larger)
    if given.first:
        return of_first(files, given.first)
    report = {
        "kilobytes": statistics.fmean(map(len, files)) / 1e3,
        "load": os.getloadavg()[0],
        "views": of_libraries(files, given.rounds),
        "loaders": of_loaders(files, given.batch, given.rounds),
    }
    show(report)
    if given.json:
        pathlib.Path(given.json).write_text(json.dumps(report, indent=2) + "\n")
    return 0


def photographs(quality: int, larger: int) -> list[bytes]:
    """Twelve photographs as JPEGs with halved chroma."""
    from m3i_jax.data.sources.scene_materials import PHOTOGRAPHS, decoded

    files = []
    for one in PHOTOGRAPHS:
        image = decoded(one).convert("RGB")
        wide = min(image.width, image.height * WIDTH // HEIGHT)
        tall = min(image.height, image.width * HEIGHT // WIDTH)
        left, top = (image.width - wide) // 2, (image.height - tall) // 2
        image = image.crop((left, top, left + wide, top + tall))
        image = image.resize((larger * WIDTH, larger * HEIGHT), Image.Resampling.LANCZOS)
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality, subsampling="4:2:0")
        files.append(file.getvalue())
    return files


def libraries() -> dict[str, Callable[[bytes, Sequence[Any]], Views]]:
    """(JPEG, boxes) -> views, by what is installed."""
    from m3i_jax.data.sources.decoding import decode_image
    from m3i_jax.data.views import resizing

    def plain(data, boxes):
        image = Image.open(io.BytesIO(data)).convert("RGB")
        how = (SIZE, SIZE), Image.Resampling.BICUBIC
        return [np.asarray(image.crop(box).resize(*how)) for box in boxes]

    def ours(decode, kind):
        def views(data, boxes):
            image = resizing.RESIZES[kind](decode(data))
            return [image.cut(box, SIZE, "bicubic", mirrored=False) for box in boxes]

        return views

    found = {"Pillow": plain, "exact": ours(decode_image, "exact")}
    if fast := installed("simplejpeg"):
        own = lambda data: fast.decode_jpeg(data, "RGB")  # noqa: E731
        found["simplejpeg alone"] = lambda data, boxes: [own(data)][:0]
        found["simplejpeg + Pillow"] = ours(own, "exact")
        found["device: simplejpeg alone, parts as they are"] = ours(own, "device")
        for kind, (module, package) in resizing.NEEDS.items():
            if installed(module):
                found[f"{kind}: simplejpeg + {package}"] = ours(own, kind)
        if cv2 := installed("cv2"):
            found["simplejpeg + OpenCV, area"] = lambda data, boxes: [
                cv2.resize(part, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
                for part in parts(own(data), boxes)
            ]
        if kornia := installed("kornia_rs"):
            found["simplejpeg + kornia_rs"] = lambda data, boxes: [
                kornia.imgproc.resize(np.ascontiguousarray(part), (SIZE, SIZE), "bicubic", True)
                for part in parts(own(data), boxes)
            ]
        if torch := installed("torch"):
            torch.set_num_threads(1)
            found["simplejpeg + torch"] = lambda data, boxes: [
                _by_torch(torch, part) for part in parts(own(data), boxes)
            ]
    return found


def _by_torch(torch: Any, part: np.ndarray) -> np.ndarray:
    """torch's antialiased bicubic on bytes."""
    image = torch.from_numpy(np.ascontiguousarray(part)).permute(2, 0, 1)[None]
    how = dict(size=(SIZE, SIZE), mode="bicubic", antialias=True)
    view = torch.nn.functional.interpolate(image, **how)
    return view[0].permute(1, 2, 0).contiguous().numpy()


def parts(image: np.ndarray, boxes: Sequence[Any]) -> Views:
    """What boxes cut out of an image."""
    return [image[box.top : box.bottom, box.left : box.right] for box in boxes]


def installed(name: str) -> Any:
    """A module, or None."""
    try:
        return __import__(name)
    except ImportError:
        return None


def of_libraries(files: Sequence[bytes], rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of an image, its ratio to Pillow's in the same round, and grey levels apart."""
    from m3i_jax.data.views.crops import draw_crop
    from m3i_jax.data.views.resizing import Box

    rng, boxes = np.random.default_rng(0), []
    height, width = np.asarray(Image.open(io.BytesIO(files[0]))).shape[:2]
    for _ in files:
        drawn = [draw_crop(rng, height, width, scale=(0.08, 1.0)) for _ in range(2)]
        boxes.append([Box(c.left, c.top, c.left + c.width, c.top + c.height) for c in drawn])
    cases = libraries()
    views = {name: list(map(case, files, boxes)) for name, case in cases.items()}
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            start = time.process_time()
            for data, cut in zip(files, boxes, strict=True):
                case(data, cut)
            times[name].append((time.process_time() - start) / len(files) * 1e3)
    truth = np.array(views["Pillow"], int)
    report = {}
    for name, spent in times.items():
        ratios = [base / own for base, own in zip(times["Pillow"], spent, strict=True)]
        report[name] = summary(spent) | {"ratio": statistics.median(ratios)}
        if views[name][0]:
            own = np.array(views[name])
            own = own if own.shape == truth.shape else by_device(own, boxes)
            apart = np.abs(own.astype(int) - truth)
            report[name] |= {"max": int(apart.max()), "mean": float(apart.mean())}
            report[name] |= {"beyond 1": float((apart > 1).mean())}
    return report


def by_device(cuts: np.ndarray, boxes: Sequence[Any]) -> np.ndarray:
    """(images, views, H, W, 3): what the step makes of parts that the host has not resized."""
    from m3i_jax import augment

    sides = [[b.bottom - b.top, b.right - b.left] for two in boxes for b in two]
    packed = np.pad(np.array(sides, np.float32), ((0, 0), (2, 2)))
    views = augment.views_of(cuts.reshape(-1, *cuts.shape[2:]), packed, interpolation="bicubic")
    return np.asarray(views).reshape(*cuts.shape[:2], SIZE, SIZE, 3)


def of_loaders(files: Sequence[bytes], batch: int, rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of a sample through loaders: of JPEGs, and of rows that are ready."""
    from m3i_jax.data.batches import batches
    from m3i_jax.data.sources.image_folder import image_folder
    from m3i_jax.data.sources.subset import Subset
    from m3i_jax.data.stream import Stream, Work
    from m3i_jax.data.views.crops import Crops
    from m3i_jax.types import Batch

    ready = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    rows = Batch({"a": ready, "b": ready}, {}, np.int32(0), None)
    report: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        inner = pathlib.Path(folder, "photographs")
        inner.mkdir()
        for number, data in enumerate(files):
            (inner / f"{number}.jpg").write_bytes(data)
        images, seen = image_folder(folder), []
        read = images.encoded
        images.encoded = lambda index: seen.append(index) or read(index)
        # As many records as a large data set: a small one costs more to shuffle (`data.order`).
        source = Subset(images, np.arange(LENGTH) % len(images))
        work = Work(lambda *_: rows, rows=batch, last=BATCHES)
        ways: dict[str, Callable[[], Any]] = {
            "rows that are ready": lambda: Stream(work, batch=batch)
        }
        for decode, resize in (("exact", "exact"), ("fast", "fast"), ("fast", "aliased")):
            if resize == "exact" or installed("simplejpeg") and installed("cykooz_resizer"):
                cut = Crops(size=SIZE, decode=decode, resize=resize)
                name = f"crops.decode={decode}, crops.resize={resize}"
                ways[name] = lambda cut=cut: batches(source, batch=batch, seed=0, crops=cut)
        if torch := installed("torch"):
            sets = {"rows that are ready": lambda index: (ready, ready)}
            sets["Pillow"] = _by_pillow(sorted(inner.iterdir()))
            sets |= _by_torchvision(folder)
            for workers in (0, 2):
                for name, data in sets.items():
                    way = lambda w=workers, d=data: _torch_loader(torch, d, batch, w)  # noqa: E731
                    ways[f"torch DataLoader, {workers} workers: {name}"] = way
        for _ in range(rounds):
            for name, way in ways.items():
                report.setdefault(name, []).append(_sample(way, batch, seen))
    return {name: summary(spent) for name, spent in report.items()}


def of_first(files: Sequence[bytes], rows: int) -> int:
    """Prints what the first batch of a stream takes: processor time, and how soon rows begin."""
    from m3i_jax.data.batches import batches
    from m3i_jax.data.sources.image_folder import image_folder
    from m3i_jax.data.sources.subset import Subset
    from m3i_jax.data.views.crops import Crops

    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(files):
            pathlib.Path(folder, f"{number}.jpg").write_bytes(data)
        images, begun = image_folder(folder), []
        read = images.encoded
        images.encoded = lambda index: begun.append(time.perf_counter()) or read(index)
        source = Subset(images, np.arange(LENGTH) % len(images))
        for way in ("fast", "exact"):
            begun.clear()
            crops, before = Crops(size=SIZE, decode=way, resize=way), resource.getrusage(0)
            start = time.perf_counter()
            with batches(source, batch=rows, seed=0, crops=crops) as stream:
                next(stream)
                met = len(begun)  # those of the next batch among them
                after = resource.getrusage(0)
            spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            spent *= rows / met
            print(
                f"{way}: {spent:.1f} s of processor for the first {rows} rows, {spent / 16:.2f} s "
                f"on 16 threads; a row begun after {1e3 * (begun[0] - start):.0f} ms, "
                f"{after.ru_maxrss / 2**10:.0f} MiB at most; load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
    return 0


def _sample(way: Callable[[], Any], batch: int, seen: list[int]) -> float:
    """Milliseconds of processor time for a sample, of this process and its workers.

    seen: which files our stream has read, those ahead included; others read no more than is taken.
    """
    seen.clear()
    before, loader = _processor(), way()
    for _ in range(BATCHES):
        next(loader)
    if hasattr(loader, "close"):
        loader.close()
    del loader  # a DataLoader waits for its workers, whose time is counted then
    return (_processor() - before) / (len(seen) or BATCHES * batch) * 1e3


def _processor() -> float:
    """Seconds of processor time of this process and of those that it has waited for."""
    own, others = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


def _torch_loader(torch: Any, sample: Callable[[int], Any], batch: int, workers: int) -> Any:
    """Batches of two views from a DataLoader, and no more than are taken."""

    class Samples(torch.utils.data.Dataset):
        def __len__(self):
            return BATCHES * batch

        def __getitem__(self, index):
            return sample(index)

    return iter(torch.utils.data.DataLoader(Samples(), batch_size=batch, num_workers=workers))


def _by_pillow(paths: Sequence[pathlib.Path]) -> Callable[[int], Any]:
    """Sample -> two views, as the first line of the libraries cuts them."""
    from m3i_jax.data.views.crops import draw_crop

    def sample(index):
        rng = np.random.default_rng(index)
        image = Image.open(paths[index % len(paths)]).convert("RGB")
        views = []
        for _ in range(2):
            c = draw_crop(rng, image.height, image.width, scale=(0.08, 1.0))
            part = image.crop((c.left, c.top, c.left + c.width, c.top + c.height))
            views.append(np.array(part.resize((SIZE, SIZE), Image.Resampling.BICUBIC)))
        return tuple(views)

    return sample


def _by_torchvision(folder: str) -> dict[str, Callable[[int], Any]]:
    """Sample -> two views by torchvision and Pillow: bytes as our rows are, floats as is usual."""
    from torchvision_operators import declared

    library = declared()
    if library is None or not installed("torchvision"):
        return {}
    import torch
    from torchvision import datasets
    from torchvision.transforms import InterpolationMode, v2

    crop = v2.RandomResizedCrop(SIZE, interpolation=InterpolationMode.BICUBIC, antialias=True)
    views = {"bytes": [crop, v2.RandomHorizontalFlip(), v2.PILToTensor()]}
    normalized = [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.45] * 3, [0.23] * 3)]
    views["normalised floats"] = [*views["bytes"], *normalized]
    images = datasets.ImageFolder(folder)

    def of(transforms, kept=library):
        cut = v2.Compose(transforms)

        def sample(index):
            image, _ = images[index % len(images)]
            return cut(image), cut(image)

        return sample

    return {f"torchvision, {name}": of(transforms) for name, transforms in views.items()}


def summary(spent: Sequence[float]) -> dict[str, float]:
    """Median, least and largest."""
    return {"ms": statistics.median(spent), "low": min(spent), "high": max(spent)}


def show(report: Mapping[str, Any]) -> None:
    """Prints tables as docs/benchmarks.md has them."""
    print(f"{report['kilobytes']:.0f} kB an image; load {report['load']:.1f}; Pillow", end=" ")
    print(Image.__version__)
    print("| two views by | ms | × Pillow | grey levels apart: mean, most, share beyond 1 |")
    print("|---|---|---|---|")
    for name, row in report["views"].items():
        apart = f"{row['mean']:.2f}, {row['max']}, {row['beyond 1']:.2%}" if "mean" in row else ""
        times = f"{row['ms']:.2f} ({row['low']:.2f}–{row['high']:.2f})"
        print(f"| {name} | {times} | {row['ratio']:.2f} | {apart} |")
    print("| loader | ms a sample |\n|---|---|")
    for name, row in report["loaders"].items():
        print(f"| {name} | {row['ms']:.3f} ({row['low']:.3f}–{row['high']:.3f}) |")


if __name__ == "__main__":
    sys.exit(main())
