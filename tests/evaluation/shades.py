"""A data set of noise over two shades, which every encoder tells apart, and a small encoder."""

import numpy as np

from m3i_jax.data.sources.protocol import Sample
from m3i_jax.evaluation import datasets, models
from m3i_jax.evaluation.evaluation import Evaluation


class Shades:
    """Images of 12 x 10 pixels, noise over two shades; a record in seven has no label."""

    name, classes, evaluation_ratio = "shades", ("dark", "light"), 1.0

    def __init__(self, length, labelled=True):
        self.length = length
        if labelled:
            self.labels = np.array([self[i].label for i in range(length)])

    def __len__(self):
        return self.length

    def __getitem__(self, i):
        rng = np.random.default_rng(i)
        image = rng.integers(0, 120, (12, 10, 3)) + 60 * (i % 2)
        return Sample(image.astype(np.uint8), -1 if i % 7 == 3 else i % 2)

    def captions(self):
        return ()

    def fingerprint(self):
        return f"shades {self.length}"


def evaluation(train=45, test=21, labelled=True):
    block = {"name": "vit_nano", "image": 8, "patch": 4, "width": 16, "depth": 2}
    sources = {"train": Shades(train, labelled), "test": Shades(test, labelled)}
    of = datasets.Data("shades", lambda split, classes: sources[split])
    return Evaluation(models.fresh(block), of, batch=8, quiet=True)
