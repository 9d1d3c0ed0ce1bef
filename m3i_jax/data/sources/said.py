"""Of how many kinds what a source says of pixels is: categories of masks, key points."""

from m3i_jax.build import ConfigError
from m3i_jax.data.sources.protocol import Source


def categories(source: Source) -> int:
    """How many categories the masks of a source name.

    Raises:
      ConfigError: it does not say.
    """
    if count := len(getattr(source, "categories", ())):
        return count
    if classes := len(source.classes):
        return classes + 1  # 0 is what is none of them
    raise ConfigError(f"'{source.name}' does not say how many categories its masks have")


def points(source: Source) -> int:
    """How many key points each record of a source has.

    Raises:
      ConfigError: it does not say.
    """
    if (skeleton := getattr(source, "skeleton", None)) is None:
        raise ConfigError(f"'{source.name}' does not say what its key points are")
    return len(skeleton.names)
