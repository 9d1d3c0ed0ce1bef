"""A source of noise whose records are numbered, and what the tests of streams do with it."""

import numpy as np

from m3i_jax.data.batches import batches
from m3i_jax.data.sources.protocol import Sample
from m3i_jax.data.views.crops import Crops
from m3i_jax.types import Batch

CROPS = Crops(size=4, scale=(0.3, 1.0))


class Numbered:
    """Record i is a noise image; its label is i."""

    name, classes = "numbered", ()

    def __init__(self, length):
        self.images = np.random.default_rng(0).integers(0, 256, (length, 9, 12, 3), np.uint8)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        mask = np.full((9, 12), i + 1, np.uint8)
        return Sample(self.images[i], label=i, caption=f"number {i}", mask=mask)

    def captions(self):
        return (f"number {i}" for i in range(len(self)))

    def fingerprint(self):
        return f"numbered {len(self)}"


def take(source, count, **options):
    options = dict(batch=4, seed=0, crops=CROPS) | options
    with batches(source, **options) as stream:
        return [next(stream) for _ in range(count)]


def equal(a: Batch, b: Batch) -> bool:
    return (
        all(np.array_equal(a.images[v], b.images[v]) for v in ("a", "b"))
        and all(np.array_equal(a.boxes[v], b.boxes[v]) for v in ("a", "b"))
        and np.array_equal(a.label, b.label)
        and np.array_equal(a.text, b.text)
    )


def joined(parts: list[Batch]) -> Batch:
    views = lambda field: {  # noqa: E731
        v: np.concatenate([getattr(p, field)[v] for p in parts]) for v in ("a", "b")
    }
    return Batch(views("images"), views("boxes"), np.concatenate([p.label for p in parts]))


class Ragged(Numbered):
    """Every image has a size of its own."""

    def __getitem__(self, i):
        sample = super().__getitem__(i)
        return sample._replace(image=sample.image[: 5 + i % 4, : 6 + i % 5], mask=None)
