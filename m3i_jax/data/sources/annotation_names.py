"""What the annotations of a source are of: categories of masks and of objects, key points."""

from itertools import zip_longest

from m3i_jax.build import ConfigError
from m3i_jax.data.sources.protocol import Source
from m3i_jax.data.sources.skeletons import Skeleton


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


def objects(source: Source) -> tuple[str, ...]:
    """What the categories of the objects of a source are called.

    Raises:
      ConfigError: it does not say.
    """
    if names := getattr(source, "object_names", ()) or source.classes:
        return tuple(names)
    raise ConfigError(f"'{source.name}' does not say what the categories of its objects are")


def require_same_objects(train: Source, test: Source) -> None:
    """Refuses two splits whose categories of objects are not called the same, number by number.

    Raises:
      ConfigError: that; it names the first that differs.
    """
    own, other = objects(train), objects(test)
    if own != other:
        both = zip_longest(own, other, fillvalue="")
        at, names = next((n, names) for n, names in enumerate(both) if names[0] != names[1])
        raise ConfigError(
            f"category {at} of objects is '{names[0]}' in training and '{names[1]}' in the test "
            "split; both must have the same categories in the same order"
        )


def skeleton(source: Source) -> Skeleton:
    """What the key points of a source are.

    Raises:
      ConfigError: it does not say.
    """
    if (said := getattr(source, "skeleton", None)) is None:
        raise ConfigError(f"'{source.name}' does not say what its key points are")
    return said


def points(source: Source) -> int:
    """How many key points each record of a source has; see `skeleton`."""
    return len(skeleton(source).names)
