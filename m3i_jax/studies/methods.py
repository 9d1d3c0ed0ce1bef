"""All methods of the table on Fashion-MNIST, at equal compute (docs/methods_study.md).

Every method trains the same small ViT by its recipe of digit scenes. Then it is probed, its
neighbours are asked, and it is fine-tuned for a few steps, as the untrained encoder is.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ml_collections import ConfigDict

from m3i_jax import config_file, methods
from m3i_jax.evaluation import results
from m3i_jax.evaluation.validation import validation
from m3i_jax.methods import describe
from m3i_jax.studies.study import MEASURES, Case, Further, Job, Study
from m3i_jax.training import fine_tuning
from m3i_jax.training.assemble import objective
from m3i_jax.training.config import Config
from m3i_jax.training.session import train

CONFIG = "fashion_mnist/methods"
REFERENCE = "simclr"
NAMES = (*(name for name in methods.METHODS if name not in methods.DENSE), "m3i_images")
FINE_TUNED = "eval/fine_tune/top1"
RECIPE, STEPS, RATE, CLASSES = "finetune/light", 200, 4e-3, 10
SHARED = ("name", "patch", "width", "heads")  # of the encoder, whatever a method asks of it
RUN = "runs/garments_"  # how the config calls the runs that frozen towers are of
# What is predicted -> how a section of the table is called; m3i and others predict several kinds.
GROUPS = {
    "category embedding": "Categories and texts",
    "text embedding": "Categories and texts",
    "words": "Categories and texts",
    "pixels": "Pixels and edges",
    "edges": "Pixels and edges",
    "visual tokens": "Visual tokens",
    "dense feature": "Dense features",
    "prototypes of patches": "Dense features",
    "global feature": "Global features",
    "prototypes": "Prototypes",
}
LABELS, SEVERAL = "Categories and texts", "Labels and images at once"
NOTHING = "nothing"
SECTIONS = (*dict.fromkeys(GROUPS.values()), SEVERAL)


def tables(*, root: str | None = None) -> list[Study]:
    """A study for each kind of thing that methods predict, all methods in it.

    root: folder of the files of Fashion-MNIST; None = where Debian puts them.
    """
    configs = {name: config_file.load(f"{CONFIG}:{name}") for name in NAMES}
    cases = []
    for name, config in configs.items():
        if root is not None:
            config.data.root = root
        title, frozen = _told(configs, name), _frozen(config)
        cases.append(Case(name, title, (), Config.of(config), frozen=frozen))
    measures = {**MEASURES, "fine-tuned": FINE_TUNED}
    return [
        Study(section, of, paper=(), measures=measures)
        for section in SECTIONS
        if (of := tuple(case for case in cases if _section(case) == section))
    ]


def _frozen(config: ConfigDict) -> dict[str, str]:
    """Tower -> the method whose run it is of."""
    return {tower: block.path.removeprefix(RUN) for tower, block in config.weights.items()}


def _told(configs: Mapping[str, ConfigDict], name: str) -> str:
    """What a method learns from beside images: labels, the names of the classes, or nothing."""
    config = configs[name]
    reads = objective(Config.of(config)).sources
    said = ["labels"] * ("label" in reads) + ["names"] * ("text" in reads)
    if any(_told(configs, of) != NOTHING for of in _frozen(config).values()):
        said.append("names, by its teacher")
    return " and ".join(said) or NOTHING


def predicted(case: Case) -> list[str]:
    """What a method predicts, as M3I's Table 5 calls it, in the order of its terms."""
    lines = describe.lines(objective(case.config))
    return list(dict.fromkeys(line.representation for line in lines))


def _section(case: Case) -> str:
    groups = [GROUPS[what] for what in predicted(case)]
    return SEVERAL if LABELS in groups and {*groups} != {LABELS} else groups[0]


def _fine_tuning(job: Job, *, drawn: bool = False) -> tuple[Config, Path]:
    """The config of a short fine-tuning, and where it is; drawn: of the encoder untrained."""
    recipe = config_file.load(RECIPE).to_dict()
    config = job.config
    own = {key: x for key, x in config.encoder.items() if not drawn or key in SHARED}
    block = {"image": config.image, **own}
    data = {key: value for key, value in config.data.items() if key != "captions"}
    origin = fine_tuning.Origin(str(job.workdir), "online", block, data)
    whole = Config.of(fine_tuning.config(recipe, origin, data, size=CLASSES, lr=RATE))
    whole = replace(
        whole,
        seed=job.seed,
        duration=f"{STEPS} steps",
        warmup="10 percent",
        average={},
        log=dict(every=20, images=0, report=False),
        validation=dict(every="0 steps", predictions="none"),
    )
    if not drawn:
        return whole, job.workdir / "fine_tuned"
    baselines = job.workdir.parents[1] / job.case.baselines
    return replace(whole, init_from={}), baselines / f"fine_tuned_{job.seed}"


def _measured(folder: Path, result: results.Result) -> results.Result:
    """The result with the accuracy of a fine-tuning."""
    *_, found = [one for one in results.read(folder) if one.branch == "online"]
    metrics = {**result.metrics, FINE_TUNED: found.metrics[FINE_TUNED]}
    intervals = {**result.intervals, FINE_TUNED: found.intervals[FINE_TUNED]}
    return result._replace(metrics=metrics, intervals=intervals)


def perform(job: Job) -> int:
    """Fine-tunes a run, and once for each seed the encoder as it was drawn."""
    for drawn in (False, True):
        config, folder = _fine_tuning(job, drawn=drawn)
        if status := train(config, folder, watch=validation):
            return status
    return 0


def of_run(job: Job, result: results.Result) -> results.Result:
    """With the accuracy of the run fine-tuned."""
    return _measured(_fine_tuning(job)[1], result)


def of_untrained(job: Job, result: results.Result) -> results.Result:
    """With that of the encoder as it was drawn."""
    return _measured(_fine_tuning(job, drawn=True)[1], result)


FURTHER = Further(perform, of_run, of_untrained)
