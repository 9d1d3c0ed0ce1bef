"""The choices that CIM's Tables 4 to 8 are about, on digit scenes (docs/cim.md)."""

import pathlib
from collections.abc import Sequence
from functools import partial
from typing import Any

from m3i_jax import config_file
from m3i_jax.analysis import cim
from m3i_jax.build import ConfigError
from m3i_jax.evaluation.results import Result
from m3i_jax.studies.study import Case, Further, Job, Study
from m3i_jax.training.config import Config

CONFIG = "digit_scenes/cim"
REFERENCE = "random_50"
MEASURES = {
    "linear probe": "eval/linear/top1",
    "kNN, k = 20": "eval/knn/top1_k20",
    "generator": "eval/cim/generator_top1",
    "replaced": "eval/cim/replaced",
    "AUC": "eval/cim/auc",
}


def tables(tokenizer: str) -> list[Study]:
    """Tables 4 to 8, all but the last of ResPix and a ViT.

    tokenizer: work directory of the one that all runs have in common.
    """
    case = partial(_case, tokenizer)
    base = case(REFERENCE, "half of the cells at random; two blocks, one shared; softmax", 83.3)
    return [
        Study(title, tuple(cases), ("ImageNet, paper",), MEASURES)
        for title, cases in {
            "Masks (CIM Table 4)": _masks(case, base),
            "Depth of the generator (CIM Table 5)": _depths(case, base),
            "Targets (CIM Table 6)": [*_targets(case), base],
            "Sampling (CIM Table 7)": [*_sampling(case), base],
            "Corruption, ResNet (CIM Table 8)": _corruptions(case),
            "Task, ViT (CIM Table 1)": [_task(case), base],
        }.items()
    ]


def _case(
    tokenizer: str, name: str, title: str, top1: Any, variant: str = "respix", **changes: Any
) -> Case:
    """A case that differs from a variant of the config in some fields of its blocks."""
    config = config_file.load(f"{CONFIG}:{variant}")
    if config.weights:
        config.weights.tokenizer.path = tokenizer
    with config.unlocked():
        config.update(changes)
    baselines = "baselines_resnet" if variant.endswith("resnet") else "baselines"
    return Case(name, title, (top1,), Config.of(config), baselines)


def _masks(case, base):
    """By blocks or cells, and how much."""
    cases = []
    for share, blocks, cells in ((40, 82.8, 83.0), (50, 82.9, 83.3), (60, 82.8, 83.1)):
        hidden = share / 100
        objective = dict(hidden=hidden, blockwise=True)
        cases.append(
            case(f"blockwise_{share}", f"{share} % in blocks", blocks, objective=objective)
        )
        objective = dict(hidden=hidden)
        cell = case(f"random_{share}", f"{share} % at random", cells, objective=objective)
        cases.append(base if cell.name == base.name else cell)
    return cases


def _depths(case, base):
    """Blocks of the generator; an enhancer of 4 has a third of the paper's."""
    variants = [("unshared_2", "two blocks, none shared (paper: 4)", 83.1, dict(shares=0))]
    for depth, theirs, top1 in ((3, 5, 83.2), (4, 7, 83.1)):
        title = f"{depth} blocks, one shared (paper: {theirs}, two)"
        variants.append((f"shared_{depth}", title, top1, dict(depth=depth)))
    cases = [case(*texts, towers=dict(generator=fields)) for *texts, fields in variants]
    return [cases[0], base, *cases[1:]]


def _targets(case):
    """What ResPix predicts instead of pixels by windows."""
    kinds = (("raw", "pixels as they are", 82.8), ("patch", "pixels by patches", 83.0))
    return [
        case(f"{kind}_pixels", title, top1, target=dict(name="pixels", normalization=kind))
        for kind, title, top1 in kinds
    ]


def _sampling(case):
    """How visual tokens are drawn instead."""
    return [
        case(kind, title, "diverged", objective=dict(sampling=kind))
        for kind, title in (("uniform", "any token"), ("argmax", "the likeliest token"))
    ]


def _corruptions(case):
    """What a ResNet repairs or finds."""
    rows = (
        ("erasing_resnet", "ResPix, half of the image erased", "diverged"),
        ("respix_resnet", "ResPix behind the generator", None),
        ("revdet_resnet", "RevDet behind the generator", 80.6),
    )
    return [case(*texts, variant=texts[0]) for texts in rows]


def _task(case):
    """What the ViT finds instead of repairing it."""
    return case("revdet", "RevDet", 83.1, variant="revdet")


def ready(tokenizer: str, cases: Sequence[Case]) -> None:
    """Raises ConfigError where the tokenizer is not there yet."""
    path = pathlib.Path(tokenizer)
    if any(case.config.weights for case in cases) and not path.exists():
        raise ConfigError(
            f"the tokenizer of the ablation, '{path}', is not there yet; this makes it: "
            f"m3i train_tokenizer --config digit_scenes/vq_vae --workdir {path}"
        )


def measured(job: Job, result: Result) -> Result:
    """The result with what the generator of a run predicts and its enhancer finds."""
    if not job.config.weights:  # nothing but erasing
        return result
    found = cim.measure(cim.restore(job.workdir)).metrics
    return result._replace(metrics={**result.metrics, **found})


FURTHER = Further(of_run=measured)
