"""Which head of a method decides a validation, and by which measures it can."""

from m3i_jax.build import ConfigError
from m3i_jax.framework import Method
from m3i_jax.training import schema
from m3i_jax.training.config import Config


def decisive(config: Config, method: Method) -> str:
    """What the head that decides `config.validation` says: "label", or as of `Method.says`.

    Raises:
      ConfigError: the method has no head, or none that this metric is of, or no average of it.
    """
    wanted, name = schema.Validation(**config.validation), config.objective["name"]
    said = {what: measures(method, what) for what in _said(method)}
    if not said:
        raise ConfigError(
            "config.validation asks what a run's own head is worth, but objective "
            f"'{name}' has no classifier and no dense head; set config.validation={{}}"
        )
    fitting = [what for what, known in said.items() if wanted.metric in (None, *known)]
    if not fitting:
        known = ", ".join(measure for own in said.values() for measure in own)
        raise ConfigError(
            f"config.validation.metric is {wanted.metric}, which says nothing of objective "
            f"'{name}'; of that are {known}"
        )
    if wanted.branch == "ema" and not method.averages_head:
        raise ConfigError(
            "config.validation.branch is ema, which has no head; set config.average.head=True"
        )
    return fitting[0]


def measures(method: Method, what: str) -> tuple[str, ...]:
    """What can be measured of a head that says this; masks of objects only where it says them."""
    masks = what != "objects" or method.outlined
    return tuple(name for name in schema.MEASURES[what] if masks or not name.startswith("mask_"))


def _said(method: Method) -> list[str]:
    """What the heads of a method say."""
    label = ["label"] if method.classifier else []
    return label + [method.says(view) for view in method.annotations]
