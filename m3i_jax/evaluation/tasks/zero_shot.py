"""Classes told by their names, by a model of images and texts."""

from m3i_jax.evaluation import classifiers, prompts
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.tasks.task import Measured, Task
from m3i_jax.texts import Filled


def zero_shot(
    *,
    templates: Filled = "ensemble",
    names: str = "",
) -> Task:
    """Zero-shot classification with an ensemble of prompts (CLIP, Radford et al. 2021, §3.1).

    A class is the mean of the unit embeddings of its name in every template, an image of the class
    with the highest cosine. https://arxiv.org/abs/2103.00020; docs/methods.md#zero-shot.

    Args:
      templates: "clip", CLIP's 80 sentences for ImageNet, "ensemble", 80 of ours, "plain", a photo
        of a NAME, or a file with a
        template a line, {} standing for the name.
      names: a file with what classes are called, see `prompts.class_names`; "" = as the data
        set calls them, underscores as spaces.

    Raises:
      ConfigError: no such list or file, or a template without {}.
    """
    prompts.templates(templates)  # before anything is encoded
    settings = {"templates": templates} | ({"names": names} if names else {})

    def measure(evaluation: Evaluation) -> Measured:
        what = "zero-shot classification"
        classifier = classifiers.by_names(evaluation, what=what, **settings)
        scored = classifier.scored(None)
        counts = {"test": len(scored.labels)}
        return Measured(classifiers.shares(scored), classifier.protocol, counts)

    return Task("zero_shot", "zero-shot", "top1", "share", settings, measure)
