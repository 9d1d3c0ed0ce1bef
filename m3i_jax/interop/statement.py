"""What is known of a network beside its weights: facts, each with the key that says it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from m3i_jax import normalize
from m3i_jax.build import ConfigError
from m3i_jax.types import Grid

# Others' names of our activations.
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "quickgelu": "quick_gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


class Fact(NamedTuple):
    """A value of a field of ours, and where it is said, such as "config.json's hidden_act"."""

    value: Any
    where: str


class Stated(NamedTuple):
    """What is said; nothing where there is no file.

    encoder: one of ours of that family, "" = unknown.
    image, text: facts of the two towers, by field of our encoders.
    decoders: what is known of the blocks of decoders, by name.
    grid: of the cells for which tables of positions were learned.
    windows: sides of those in which a SwinV2 learned its bias, by stage.
    block: of our encoder, where it was one.
    notes: what else a user should know.
    channels: of the images.
    crop: share of the short side of a photograph that the images show, its middle.
    """

    encoder: str = ""
    image: Mapping[str, Fact] = {}
    text: Mapping[str, Fact] = {}
    grid: Grid | None = None
    windows: tuple[Grid, ...] = ()
    block: Mapping[str, Any] = {}
    decoders: Mapping[str, Mapping[str, Any]] = {}
    notes: tuple[str, ...] = ()
    channels: Fact | None = None
    crop: float | None = None

    def fields(self) -> dict[str, Any]:
        """The values of the facts of the image encoder."""
        return {field: fact.value for field, fact in self.image.items()}

    def but(self, **facts: Fact) -> "Stated":
        """With further facts of the image encoder."""
        return self._replace(image={**self.image, **facts})


def activation(name: Any, where: str) -> str:
    """Our name of an activation.

    Raises:
      ConfigError: we have none like it.
    """
    if not isinstance(name, str) or name.lower() not in ACTIVATIONS:
        raise ConfigError(
            f"{where} is {name!r}, which no encoder of ours has; there are "
            f"{', '.join(sorted(set(ACTIVATIONS.values())))}"
        )
    return ACTIVATIONS[name.lower()]


def sides(value: Any, where: str) -> tuple[int, int]:
    """(height, width) of one number, of two, or of a {"height", "width"}.

    Raises:
      ConfigError: it is none of these.
    """
    if isinstance(value, dict) and value.keys() >= {"height", "width"}:
        value = [value["height"], value["width"]]
    both = value if isinstance(value, list | tuple) else [value, value]
    if len(both) != 2 or not all(is_count(n) for n in both):
        raise ConfigError(f"{where} is {value!r}, expected one side or two, in pixels")
    return both[0], both[1]


def side(value: Any, where: str) -> int:
    """One side of squares.

    Raises:
      ConfigError: they are no squares.
    """
    height, width = sides(value, where)
    if height != width:
        raise ConfigError(f"{where} is {value!r}; patches of our encoders are squares")
    return height


def share(value: Any, where: str) -> float:
    """A share above 0, 1 at most; a ConfigError of anything else."""
    held = _is_number(value) and 0 < value <= 1
    return float(_held(value, held, where, "a share above 0, 1 at most"))


def counts(value: Any, where: str) -> tuple[int, ...]:
    """Whole numbers, one for each stage; a ConfigError of anything else."""
    listed = isinstance(value, list | tuple) and all(is_count(n, least=0) for n in value)
    return tuple(_held(value, listed, where, "a list of whole numbers"))


def count(value: Any, where: str) -> int:
    """A whole number above 0; a ConfigError of anything else."""
    return _held(value, is_count(value), where, "a whole number")


def whole(value: Any, where: str) -> int:
    """A whole number, 0 included; a ConfigError of anything else."""
    return _held(value, is_count(value, least=0), where, "a whole number")


def number(value: Any, where: str) -> float:
    """A number above 0; a ConfigError of anything else."""
    return float(_held(value, _is_number(value) and value > 0, where, "a number above 0"))


def truth(value: Any, where: str) -> bool:
    """True or false, where others take the text "false" for true; a ConfigError of all else."""
    return _held(value, isinstance(value, bool), where, "true or false")


def _held(value: Any, holds: bool, where: str, expected: str) -> Any:
    """The value, or a refusal that says what was expected."""
    if not holds:
        raise ConfigError(f"{where} is {value!r}, expected {expected}")
    return value


def image_channels(value: Any, where: str) -> int:
    """The number of channels of the images: three, or one of grey ones.

    Raises:
      ConfigError: others, which no image here has.
    """
    if value not in (1, 3) or isinstance(value, bool):
        raise ConfigError(f"{where} is {value!r}; images here are red, green, blue: 3, or grey: 1")
    return value


def _is_number(value: Any) -> bool:
    """Whether it is a number of JSON that float32 can hold."""
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return known and abs(value) < 3e38  # also refuses NaN


def is_count(value: Any, *, least: int = 1) -> bool:
    """Whether it is a whole number, and no truth value, of at least `least`."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def channels(mean: Any, std: Any, where: str, *, scale: float = 1.0) -> tuple[tuple, tuple]:
    """A normalisation ((r, g, b), (r, g, b)) of images in [0, 1].

    mean, std: of images whose white is `scale`; of one channel for all, or of each.

    Raises:
      ConfigError: they are no such numbers.
    """
    rows = []
    for row in (mean, std):
        row = row if isinstance(row, list | tuple) else [row]
        row = list(row) * 3 if len(row) == 1 else row
        if len(row) != 3 or not all(map(_is_number, row)):
            raise ConfigError(f"{where} are {mean!r} and {std!r}, expected three numbers each")
        rows.append(tuple(x / scale for x in row))
    if not normalize.usable(*rows):
        raise ConfigError(
            f"{where} of images whose white is {scale:g} are {mean!r} and {std!r}, expected means "
            f"of up to {10 * scale:g} and deviations of {normalize.LEAST * scale:g} or more"
        )
    return rows[0], rows[1]


def named(pair: tuple[tuple, tuple], names: Mapping[str, tuple[tuple, tuple]]) -> str | tuple:
    """The name of these statistics, where they have one."""
    for name, known in names.items():
        near = (
            abs(a - b) < 1e-6
            for x, y in zip(pair, known, strict=True)
            for a, b in zip(x, y, strict=True)
        )
        if all(near):
            return name
    return pair


def check_rest(said: Mapping[str, Any], known: Any, where: str, *, harmless: Any = ()) -> None:
    """Refuses keys of which nobody knows what they would change; what is off changes nothing.

    Raises:
      ConfigError: all of them.
    """
    off = (None, False, 0, "", "none")
    strange = [
        key
        for key, value in said.items()
        if key not in known
        and key not in harmless
        and value not in off
        and value != []
        and value != {}
    ]
    if strange:
        values = ", ".join(f"{key}={said[key]!r}" for key in sorted(strange))
        raise ConfigError(f"{where} says {values}, which no encoder of ours has")


def ignored(said: Mapping[str, Any], known: Any, where: str) -> tuple[str, ...]:
    """A sentence on the keys that change nothing here and that nobody knows, if there are any."""
    strange = sorted(key for key, value in said.items() if key not in known and value is not None)
    return (f"{where}: ignored, of no meaning here: {', '.join(strange)}",) * bool(strange)
