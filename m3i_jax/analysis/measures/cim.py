"""What a run of CIM predicts of hidden visual tokens, and what it makes of a corrupted image."""

from typing import Annotated

from m3i_jax.analysis import cim as runs
from m3i_jax.analysis import repair
from m3i_jax.analysis.measure import Measure, Picture, Rows, Shown
from m3i_jax.build import ConfigError
from m3i_jax.evaluation import datasets
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.ranges import CountOrOff, Range, Seed


def cim(
    *, samples: Annotated[int, Range(1, 256)] = 6, limit: CountOrOff = 0, seed: Seed = 0
) -> Measure:
    """Tokens guessed, cells found or pixels repaired by a run of CIM, and pictures of them.

    Fang et al. 2022, Figures 2 to 4, https://arxiv.org/abs/2202.03382.

    Args:
      samples: images in each picture.
      limit: test images that are measured, spread evenly; 0 = all.
      seed: of masks and samples.
    """

    def measure(evaluation: Evaluation, rows: Rows | None) -> Shown:
        of = evaluation.model
        if of.config is None or of.config.objective.get("name") != runs.METHOD:
            raise NotMeasurable(f"'{of.name}' is no run of CIM, whose generator is measured here")
        if evaluation.data.name != datasets.of_run(of).name:
            raise NotMeasurable("a run of CIM is looked into on its own test images alone")
        try:
            model = runs.restore(of.workdir, step=of.step)
        except ConfigError as error:
            raise NotMeasurable(str(error)) from error
        result = runs.measure(model, limit=limit, seed=seed)
        seen = repair.observe(model, images=samples, seed=seed)
        pictures = [
            Picture("Images, masked, corrupted and repaired", repair.repairs(seen)),
            Picture(
                "What normalised targets look like",
                repair.templates(seen.images, model.trained.network.towers["image"].patch),
            ),
        ]
        values = {name.rsplit("/", 1)[1]: number for name, number in result.metrics.items()}
        return Shown(
            "pictures",
            values,
            counts=result.counts,
            pictures=pictures,
            results=[result._replace(model=of.name, data=evaluation.data.name)],
        )

    settings = {"samples": samples, "limit": limit, "seed": seed}
    return Measure("cim", "CIM's generator and enhancer", "", settings, measure)
