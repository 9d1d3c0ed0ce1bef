"""One tiny run per method of the table: the embedded configs, shrunk."""

import functools
import pathlib
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from m3i_jax import shipped
from m3i_jax.types import Batch, Objects, ViewAnnotations

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "configs"))

CONFIGS = [name for name in shipped.names() if name.startswith("digit_scenes/")]
METHODS = {name.removeprefix("digit_scenes/"): (name, {}) for name in CONFIGS} | {
    "siamese_im without unigrad": ("digit_scenes/siamese_im", {"objective.negative_weight": 0.0}),
    "cae": ("digit_scenes/cae", {"decoders.regressor.out": 64}),  # the width of the encoder
    "dinov3": ("digit_scenes/dinov3", {"objective.refresh": 5}),  # a few times in a run
    # At first a depth of all pixels is sought, and overshot by larger steps.
    "depth": ("digit_scenes/depth", {"optimizer.lr": 1e-3}),
    "cim revdet": ("digit_scenes/cim:revdet", {}),
    "m3i images": ("digit_scenes/m3i:images", {}),
    "m3i without mix": ("digit_scenes/m3i", {"objective.mix": False}),
    # One form for each kind of target, and those with a P̂ of their own.
    **{f"table2 {form}": (f"digit_scenes/table2:{form}", {}) for form in "acfhk"},
}
del METHODS["table2"]  # forms are above
del METHODS["dark_secrets"]  # three of the others, of one encoder
# Heads of many parts, which tests/methods/detection_test.py has at a size that compiles in time.
OF_OBJECTS = {
    name: METHODS.pop(name) for name in ("detection", "swin_track", "mask2former", "dino_detector")
}
PLACES, SIDE = 3, 14  # of the objects of a toy batch, and of their masks
del METHODS["m3i_mixture"]  # m3i, on other data
# Compiled whenever the tests run; the others go through the same code and are slow together.
OFTEN = ("classification", "mae", "siamese_im", "m3i", "m3i images", "byol")


def pytest_generate_tests(metafunc):
    """`any_method`: every method of the table, most of them slow."""
    if "any_method" in metafunc.fixturenames:
        slow = pytest.mark.slow
        names = [
            method if method in OFTEN else pytest.param(method, marks=slow) for method in METHODS
        ]
        metafunc.parametrize("any_method", names, scope="session")


# Sizes for a run that compiles in seconds, wherever a block has the key.
TINY = dict(width=64, depth=1, heads=2, hidden=32, layer=1, size=32, layers=2, local_size=8)


def tiny(block, *, sizes=TINY):
    """A block with everything in it made small."""
    small = {k: sizes[k] for k in block if k in sizes and isinstance(block[k], int)}
    if combined := block.get("methods"):
        small["methods"] = {name: tiny(method, sizes=sizes) for name, method in combined.items()}
    narrow = "out" in block and block["name"] != "infill"  # what paints words makes all pixels
    return block | small | ({"out": min(block["out"], 32)} if narrow else {})


@pytest.fixture(scope="session")
def shrunk():
    """shrunk(method, **{"block.key": value}) -> Config of a run that compiles in seconds."""
    from m3i_jax import cli, encoders
    from m3i_jax.training.config import Config

    def make(method, **changes):
        file, own = (METHODS | OF_OBJECTS)[method]
        name, _, argument = file.partition(":")
        config = cli.load(name + (f":{argument}" if argument else "")).to_dict()
        config.update(image=16, batch=8, duration="12 steps", warmup="2 steps")
        small, kind = dict(depth=2, width=64, heads=2), config["encoder"]["name"]
        config["encoder"].update((k, v) for k, v in small.items() if encoders.accepts(kind, k))
        config["optimizer"]["lr"] = 3e-3
        for name, tower in config["towers"].items():
            if name == "category":
                tower["width"] = 64
            elif name == "text":
                tower.update(width=64, depth=1, heads=2)
            else:
                tower.update(width=64, depth=2, heads=2)
                config["weights"].get(name, {})["path"] = "untrained"
        config["decoders"] = {name: tiny(block) for name, block in config["decoders"].items()}
        config["objective"] = tiny(config["objective"], sizes=TINY | dict(vocabulary=16))
        config["crops"] = tiny(config["crops"])
        config["log"] = dict(every=1, images=0)
        config["checkpoint"] = dict(every=4, keep=2)
        config["monitor"] = dict(every=0)
        for key, value in (own | changes).items():
            *blocks, last = key.split(".")
            node = config
            for block in blocks:
                node = node.setdefault(block, {})
            node[last] = value
        return Config.of(config)

    return make


def drawn(rows):
    """A global batch of noise; one of its samples has no label, one no text."""
    rng = np.random.default_rng(0)
    image = lambda side=16: rng.integers(0, 256, (rows, side, side, 3), dtype=np.uint8)  # noqa: E731
    box = np.tile(np.float32([2, 3, 20, 16, 0, 48]), (rows, 1))
    other = np.tile(np.float32([8, 1, 14, 25, 0, 48]), (rows, 1))
    other[::2, 4] = 1.0
    label = rng.integers(0, 10, rows).astype(np.int32)
    label[3] = -1
    text = rng.integers(3, 60, (rows, 16)).astype(np.int32)
    text[:, 9:] = 0
    text[5] = 0
    images = {"a": image(), "b": image(), "l0": image(8), "l1": image(8)}
    boxes = {"a": box, "b": other, "l0": box, "l1": other}
    return Batch(images, boxes, label, text, annotations={"a": said_of_pixels(rows, rng)})


def said_of_pixels(rows, rng, *, side=16, categories=11, points=5):
    """Annotations of noise; one sample has none."""
    mask = rng.integers(0, categories, (rows, side, side), dtype=np.uint8)
    mask[:, :3] = 255  # which nobody has named
    depth = rng.uniform(0.5, 3.0, (rows, side, side)).astype(np.float32)
    depth[:, 5] = 0.0  # which nobody has measured
    places = rng.uniform(2, side - 2, (rows, points, 2))
    seen = rng.integers(0, 3, (rows, points, 1))
    points = np.concatenate([places, seen], axis=2).astype(np.float32)
    present = np.arange(rows) != 2
    names = ("mask", "depth", "points", "objects")
    objects = said_of_objects(rows, rng, side=side, categories=categories)
    said = dict(zip(names, (mask, depth, points, objects), strict=True))
    return ViewAnnotations(**said, present=dict.fromkeys(names, present))


def said_of_objects(rows, rng, *, side, categories):
    """Objects of noise in `PLACES`, of which some are padding, and an image that has none."""
    ends = np.sort(rng.uniform(0, side, (rows, PLACES, 2, 2)), axis=2)
    ends[:, :, 1] = np.minimum(ends[:, :, 1] + 3, side)
    there = np.arange(PLACES) < np.arange(rows)[:, None] % (PLACES + 1)
    corners = np.where(there[..., None], ends.reshape(rows, PLACES, 4), 0).astype(np.float32)
    kinds = np.where(there, rng.integers(0, categories, (rows, PLACES)), -1).astype(np.int32)
    masks = rng.integers(0, 2, (rows, PLACES, SIDE, SIDE), dtype=np.uint8)
    shown = np.tile(np.float32([7, 0, 3, 1, 90, 12, 1, 5, 2, 40, 8])[:categories], (rows, 1))
    return Objects(corners, kinds, masks * there[..., None, None].astype(np.uint8), shown)


@pytest.fixture(scope="session")
def batch():
    """A global batch of 8 samples; one has no label, one no text."""
    return drawn(8)


@pytest.fixture(scope="session")
def fits():
    """fits(run, batch) -> the batch with only what the run's method looks at."""

    def cut(run, batch):
        needed = run.method.sources
        return batch._replace(
            images={n: x for n, x in batch.images.items() if n in needed},
            boxes={n: x for n, x in batch.boxes.items() if n in needed},
            text=batch.text if "text" in needed else None,
            annotations=_read(batch, run.method.annotations),
        )

    return cut


def _read(batch, names):
    """What is said of pixels, as far as it is read."""
    if not names:
        return None
    said = batch.annotations["a"]
    present = {name: said.present[name] for name in names}
    return {"a": ViewAnnotations(**{n: getattr(said, n) for n in names}, present=present)}


@pytest.fixture(scope="session")
def one_device():
    """The mesh block and devices of a run on a single device."""
    return dict(data=1, fsdp=1), jax.devices()[:1]


# What a method needs to learn something in `STEPS` steps. DINO falls to uniform assignments where
# prototypes are few; an untrained patch embedding of the size of a tile reads it already.
PATCHES = {"encoder.patch": 8, "decoders.painter.out": 192}
PAINTED = PATCHES | {"towers.generator.patch": 8, "towers.tokenizer.patch": 8}
NEEDS = {
    "vq_vae": PATCHES,
    "cim": PAINTED,
    "cim revdet": PAINTED,
    "cim_classification": PAINTED,
    "dino": {"decoders.prototypes.out": 512},
    "simmim": {"encoder.patch": 8, "objective.unit": 1},
    "pixio": {"encoder.patch": 8, "objective.unit": 1},
    "ijepa": {"encoder.patch": 8},
    "capi": {"encoder.patch": 8, "objective.hidden": 0.5},  # two cells to choose from
    "cappa": {"decoders.caption.parallel": 0.25},
    "maskfeat": {"optimizer.lr": 0.01},
}
STEPS, WIDE = 120, 32
# Towers of two blocks: a code of two layers, a generator over shared blocks, and those that have
# not been seen to learn with one. The others have one: a second takes a third of the time again.
DEEP = {
    "data2vec", "cim", "cim revdet", "cim_classification", "siamese_im", "siamese_words",
    "siamese_im without unigrad", "siglip", "vq_kd", "vq_vae",
    *(f"table2 {form}" for form in "acfhk"),
}  # fmt: skip


class Ready(NamedTuple):
    """A run on a device, its first state on the host, and its compiled step."""

    run: Any
    first: Any
    advance: Callable


@pytest.fixture(scope="session")
def learner(shrunk):
    """learner(method, mesh) -> Config of a run of batch `WIDE` that learns in `STEPS` steps.

    needs: whether with what the method needs for that.
    """

    def config(method, mesh, *, needs=True):
        changes = dict(batch=WIDE, duration=f"{STEPS} steps", warmup="10 steps")
        changes |= NEEDS.get(method, {}) if needs else {}
        found = shrunk(method, mesh=mesh, **changes)
        if method in DEEP:
            return found
        blocks = {"encoder": found.encoder} | {f"towers.{n}": b for n, b in found.towers.items()}
        flat = {f"{name}.depth": 1 for name, block in blocks.items() if block.get("depth", 1) > 1}
        return shrunk(method, mesh=mesh, **changes, **flat)

    return config


@pytest.fixture(scope="session")
def ready(learner, one_device):
    """ready(method) -> Ready: one program for all that is asked of it; its tests are neighbours.

    Two are kept: the methods that paint images look at a tokenizer beside their own.
    """
    from m3i_jax.training.assemble import assemble

    @functools.lru_cache(maxsize=2)
    def made(method, needs):
        mesh, devices = one_device
        run = assemble(learner(method, mesh, needs=needs), images=1000, devices=devices)
        return Ready(run, jax.device_get(run.create()), run.compiled())

    return lambda method, *, needs=True: made(method, needs)  # equal calls are one to the cache


@pytest.fixture(scope="session")
def grads(fits):
    """grads(run, batch) -> (state, loss, gradient) of one step, on the run's own mesh.

    state: that it starts from, its first by default.
    """
    from m3i_jax import framework as fw
    from m3i_jax.parallel import sharding
    from m3i_jax.training.step import views

    def found(run, batch, state=None):
        key = jax.random.key(3)

        def differentiate(state, batch):
            given = views(key, batch, run.augment)
            prepared = fw.prepare(
                run.method, run.network, given, key=key, params=state.params, states=state.slots
            )
            found = fw.gradients(
                run.method, run.network, run.weighting, state.params, state.slots, prepared,
                balance=state.balance, key=key,
            )  # fmt: skip
            return found.loss, found.params

        state = run.create() if state is None else jax.device_put(state, run.shardings)
        with jax.set_mesh(run.mesh):
            given = sharding.put(fits(run, batch), run.mesh)
            loss, found = jax.jit(differentiate)(state, given)
        return state, float(loss), jax.device_get(found)

    return found


@pytest.fixture(scope="session")
def distance():
    """distance(found, right) -> ‖found − right‖ / ‖right‖ over all leaves of two trees."""

    def norm(tree):
        return np.sqrt(sum(np.square(x).sum() for x in jax.tree.leaves(tree)))

    return lambda found, right: norm(jax.tree.map(np.subtract, found, right)) / norm(right)


def from_disk(run, state, folder):
    """The leaves of a state that was sealed in a folder, as a run that goes on reads them."""
    from m3i_jax.checkpoints.checkpoint import Checkpoints
    from m3i_jax.parallel import sharding
    from m3i_jax.training.state import TrainState

    with Checkpoints(folder) as kept:
        kept.save(int(state.step), state.items(), {}, wait=True)
    with Checkpoints(folder) as kept:
        found = kept.restore(sharding.abstract(run.abstract.items(), run.shardings.items()))
    return jax.tree.leaves(TrainState.of(found.items))
