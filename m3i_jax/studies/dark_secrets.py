"""Four ways to train one encoder, at equal compute, to be looked into (docs/dark_secrets.md).

Xie et al. 2023, Revealing the Dark Secrets of Masked Image Modeling,
https://arxiv.org/abs/2205.13543.
"""

from m3i_jax import config_file
from m3i_jax.studies import inside
from m3i_jax.studies.inside import Claim
from m3i_jax.studies.study import Case, Study
from m3i_jax.training.config import Config

CONFIG = "fashion_mnist/dark_secrets"
REFERENCE = "simclr"
TITLES = {
    "classification": "Supervised",
    "simclr": "SimCLR",
    "mae": "MAE",
    "m3i": "M3I",
}
MIM, OTHERS = ("MAE",), ("Supervised", "SimCLR")
CLAIMS = (
    Claim(
        "masked image modeling attends locally",
        "attention distance, pixels, all blocks",
        inside.distance,
        MIM,
        OTHERS,
    ),
    Claim(
        "the others attend more globally towards the end",
        "distance, last two blocks over first two",
        inside.late_distance,
        MIM,
        OTHERS,
    ),
    Claim(
        "heads of masked image modeling differ in late blocks",
        "divergence, nats, last two blocks",
        inside.late_diversity,
        OTHERS,
        MIM,
    ),
    Claim(
        "the others lose diversity towards the end",
        "divergence, last two blocks over first two",
        inside.kept_diversity,
        OTHERS,
        MIM,
    ),
    Claim(
        "blocks of masked image modeling are alike",
        "CKA of two different blocks",
        inside.likeness,
        OTHERS,
        MIM,
    ),
)


def tables(*, root: str | None = None) -> list[Study]:
    """The four runs as cases.

    root: folder of the files of Fashion-MNIST; None = where Debian puts them.
    """
    cases = []
    for name, title in TITLES.items():
        config = config_file.load(f"{CONFIG}:{name}")
        if root is not None:
            config.data.root = root
        cases.append(Case(name, title, (), Config.of(config)))
    return [Study("Four ways to train one encoder", tuple(cases), paper=())]
