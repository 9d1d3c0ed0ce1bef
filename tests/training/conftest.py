"""One tiny run per row of the table: the embedded configs, shrunk."""

import pathlib
import sys

import jax
import numpy as np
import pytest

from m3i_jax.types import Batch

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "configs"))

ROWS = {
    "classification": ("classification_digit_scenes", {}),
    "mae": ("mae_digit_scenes", {}),
    "siamese_im": ("siamese_im_digit_scenes", {}),
    "siamese_im without unigrad": (
        "siamese_im_digit_scenes",
        {"objective.negative_weight": 0.0},
    ),
    "m3i": ("m3i_digit_scenes", {}),
    "m3i images": ("m3i_digit_scenes:images", {}),
    "m3i without mix": ("m3i_digit_scenes", {"objective.mix": False}),
}


@pytest.fixture(scope="session")
def shrunk():
    """shrunk(row, **{"block.key": value}) -> Config of a run that compiles in seconds."""
    from m3i_jax import cli
    from m3i_jax.training.config import Config

    def make(row, **changes):
        file, own = ROWS[row]
        name, _, argument = file.partition(":")
        path = str(ROOT / "configs" / f"{name}.py") + (f":{argument}" if argument else "")
        config = cli.load(path).to_dict()
        config.update(image=16, batch=8, duration="12 steps", warmup="2 steps")
        config["encoder"].update(depth=2, width=64, heads=2)
        config["optimizer"]["lr"] = 3e-3
        for name in ("category", "text"):
            if name in config["towers"]:
                config["towers"][name]["width"] = 64
        if "text" in config["towers"]:
            config["towers"]["text"].update(depth=1, heads=2)
        for name, decoder in config["decoders"].items():
            decoder.update(heads=2)
            if name in ("image", "projector"):
                decoder.update(depth=1)
            if name == "image":
                decoder.update(width=64)
        config["log"] = dict(every=1, images=0)
        config["checkpoint"] = dict(every=4, keep=2)
        config["monitor"] = dict(every=0)
        for key, value in (own | changes).items():
            *blocks, last = key.split(".")
            node = config
            for block in blocks:
                node = node[block]
            node[last] = value
        return Config.of(config)

    return make


@pytest.fixture(scope="session")
def batch():
    """A global batch of 8 samples; one has no label, one no text."""
    rng = np.random.default_rng(0)
    image = lambda: rng.integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)  # noqa: E731
    box = np.tile(np.float32([2, 3, 20, 16, 0, 48]), (8, 1))
    other = np.tile(np.float32([8, 1, 14, 25, 0, 48]), (8, 1))
    other[::2, 4] = 1.0
    label = rng.integers(0, 10, 8).astype(np.int32)
    label[3] = -1
    text = rng.integers(3, 60, (8, 16)).astype(np.int32)
    text[:, 9:] = 0
    text[5] = 0
    return Batch({"a": image(), "b": image()}, {"a": box, "b": other}, label, text)


@pytest.fixture(scope="session")
def fits():
    """fits(run, batch) -> the batch with only what the run's row looks at."""

    def cut(run, batch):
        needed = run.method.sources
        return batch._replace(
            images={n: x for n, x in batch.images.items() if n in needed},
            boxes={n: x for n, x in batch.boxes.items() if n in needed},
            text=batch.text if "text" in needed else None,
        )

    return cut


@pytest.fixture(scope="session")
def one_device():
    """The mesh block and devices of a run on a single device."""
    return dict(data=1, fsdp=1), jax.devices()[:1]
