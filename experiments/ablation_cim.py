r"""Compares the choices that CIM's Tables 4 to 8 are about, on digit scenes.

    python experiments/train_tokenizer.py --config configs/digit_scenes/vq_vae.py \
        --workdir runs/painter
    python experiments/ablation_cim.py
    python experiments/ablation_cim.py --forms=random_50,argmax --seeds=1 --steps=200

The first command makes the words that all runs have in common (--tokenizer takes others). As
`ablation.py`, whose flags it has: every run is WORKDIR/<form>/seed_<n> and sees as many images; the
same command goes on where it was. docs/cim.md says more.
"""

import pathlib

import ablation
from absl import flags

from m3i_jax import cli
from m3i_jax.build import ConfigError

CONFIG = "digit_scenes/cim"
TOKENIZER = flags.DEFINE_string("tokenizer", "runs/painter", "Work directory of the words.")
# The network trained is what counts, as in the paper; nothing predicts a moving average.
for flag, value in ((ablation.WORKDIR, "runs/ablation_cim"), (ablation.BRANCH, "online")):
    flags.set_default(flag, value)
flags.set_default(ablation.BUDGET, "images")

REFERENCE = "random_50"
MEASURES = {
    "linear probe": "eval/linear/top1",
    "kNN, k = 20": "eval/knn/top1_k20",
    "generator": "eval/cim/generator_top1",
    "replaced": "eval/cim/replaced",
    "AUC": "eval/cim/auc",
}


def studies():
    """Tables 4 to 8, all but the last of ResPix and a ViT."""
    from m3i_jax.studies.study import Study

    base = case(REFERENCE, "half of the cells at random; two blocks, one shared; softmax", 83.3)
    return [
        Study(title, tuple(cases), ("ImageNet, paper",), MEASURES)
        for title, cases in {
            "Masks (CIM Table 4)": masks(base),
            "Depth of the generator (CIM Table 5)": depths(base),
            "Targets (CIM Table 6)": [*targets(), base],
            "Sampling (CIM Table 7)": [*sampling(), base],
            "Corruption, ResNet (CIM Table 8)": corruptions(),
            "Task, ViT (CIM Table 1)": [task(), base],
        }.items()
    ]


def case(name, title, top1, variant="respix", **changes):
    """A case that differs from a variant of the config in some fields of its blocks."""
    from m3i_jax.studies.study import Case
    from m3i_jax.training.config import Config

    config = cli.load(f"{CONFIG}:{variant}")
    if config.weights:
        config.weights.tokenizer.path = TOKENIZER.value
    with config.unlocked():
        config.update(changes)
    twins = "baselines_resnet" if variant.endswith("resnet") else "baselines"
    return Case(name, title, (top1,), Config.of(config), twins)


def masks(base):
    """By blocks or cells, and how much."""
    found = []
    for share, blocks, cells in ((40, 82.8, 83.0), (50, 82.9, 83.3), (60, 82.8, 83.1)):
        hidden = share / 100
        objective = dict(hidden=hidden, blockwise=True)
        found.append(
            case(f"blockwise_{share}", f"{share} % in blocks", blocks, objective=objective)
        )
        objective = dict(hidden=hidden)
        cell = case(f"random_{share}", f"{share} % at random", cells, objective=objective)
        found.append(base if cell.name == base.name else cell)
    return found


def depths(base):
    """Blocks of the generator; an enhancer of 4 has a third of the paper's."""
    found = [("unshared_2", "two blocks, none shared (paper: 4)", 83.1, dict(shares=0))]
    for depth, theirs, top1 in ((3, 5, 83.2), (4, 7, 83.1)):
        title = f"{depth} blocks, one shared (paper: {theirs}, two)"
        found.append((f"shared_{depth}", title, top1, dict(depth=depth)))
    made = [case(*words, towers=dict(generator=fields)) for *words, fields in found]
    return [made[0], base, *made[1:]]


def targets():
    """What ResPix predicts instead of pixels by windows."""
    kinds = (("raw", "pixels as they are", 82.8), ("patch", "pixels by patches", 83.0))
    return [
        case(f"{kind}_pixels", title, top1, target=dict(name="pixels", normalization=kind))
        for kind, title, top1 in kinds
    ]


def sampling():
    """How words are drawn instead."""
    return [
        case(kind, title, "diverged", objective=dict(sampling=kind))
        for kind, title in (("uniform", "any word"), ("argmax", "the likeliest word"))
    ]


def corruptions():
    """What a ResNet repairs or finds."""
    rows = (
        ("erasing_resnet", "ResPix, half of the image erased", "diverged"),
        ("respix_resnet", "ResPix behind the generator", None),
        ("revdet_resnet", "RevDet behind the generator", 80.6),
    )
    return [case(*words, variant=words[0]) for words in rows]


def task():
    """What the ViT finds instead of repairing it."""
    return case("revdet", "RevDet", 83.1, variant="revdet")


def ready(cases) -> None:
    """Raises ConfigError where the words are not there yet."""
    path = pathlib.Path(TOKENIZER.value)
    if any(case.config.weights for case in cases) and not path.exists():
        raise ConfigError(
            f"the words of the ablation, '{path}', are not there yet; this makes them: python "
            "experiments/train_tokenizer.py --config configs/digit_scenes/vq_vae.py "
            f"--workdir {path}"
        )


def measure(job):
    """What the generator of a run guesses and its enhancer finds."""
    from m3i_jax.analysis import cim

    if not job.config.weights:  # nothing but erasing
        return {}
    return cim.measure(cim.restore(job.workdir)).metrics


def main() -> int:
    """Trains and measures what is missing, then writes the table."""
    what = dict(reference=REFERENCE, name="ablation_cim")
    return ablation.compare(studies, **what, measure=measure, ready=ready)


if __name__ == "__main__":
    cli.run(main)
