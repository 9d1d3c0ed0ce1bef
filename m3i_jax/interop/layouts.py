"""The layouts that are known, and which of them a file has: the table that knows all its keys."""

from collections.abc import Iterable

from m3i_jax.build import ConfigError, nearest
from m3i_jax.interop import (
    aimv2,
    clip,
    convolutional,
    dalle,
    huggingface,
    internimage,
    rotary,
    siglip,
    swin,
    vit,
)
from m3i_jax.interop.rename import Layout, Rule, Sorted, listed, sort

# Our own names, slash-joined: nothing is renamed, and nothing is lost.
OWN = Layout(
    "m3i_jax",
    tuple(Rule(path, (path,)) for path in ("encoders/{path}", "decoders/{path}", "ema/{path}")),
)
# Where several know all keys, the first is taken; they agree on what they have in common.
LAYOUTS: tuple[Layout, ...] = (
    OWN,
    *vit.LAYOUTS,
    *rotary.LAYOUTS,
    *aimv2.LAYOUTS,
    *clip.LAYOUTS,
    *siglip.LAYOUTS,
    *huggingface.LAYOUTS,
    *swin.LAYOUTS,
    *convolutional.LAYOUTS,
    *internimage.LAYOUTS,
    *dalle.LAYOUTS,
)
AUTO = "auto"
SHOWN = 2  # layouts in an error


def lookup(name: str) -> Layout:
    """The layout of this name.

    Raises:
      ConfigError: there is none; the message names the nearest.
    """
    for layout in LAYOUTS:
        if layout.name == name:
            return layout
    raise ConfigError(f"unknown layout '{name}'{nearest(name, [x.name for x in LAYOUTS])}")


def module_of(keys: Iterable[str], *, layout: str = AUTO) -> str:
    """What stands in front of the keys of the module that a layout knows best, "backbone." say.

    "" where that is the whole, or nothing is known.
    """
    keys = tuple(keys)
    fronts = {".".join(key.split(".")[:depth]) + "." for key in keys for depth in (1, 2)}
    candidates = LAYOUTS if layout == AUTO else (lookup(layout),)

    def known(front: str) -> tuple[bool, int]:
        """Whether a layout knows every key behind it, and how many some layout knows."""
        own = [key.removeprefix(front) for key in keys if key.startswith(front)]
        unknown = min(len(sort(own, candidate).unknown) for candidate in candidates)
        return bool(own) and not unknown, len(own) - unknown

    return max(("", *sorted(fronts)), key=known)


def recognise(keys: Iterable[str], *, layout: str = AUTO, what: str) -> tuple[Layout, Sorted]:
    """The layout of a state dict and where its keys belong.

    Args:
      keys: of the state dict.
      layout: name of the layout, or "auto": the first that knows every key.
      what: how to name the file in errors.

    Raises:
      ConfigError: keys that the layout does not know, all of them; or no layout knows them all,
        with the two that know most.
    """
    keys = tuple(keys)
    candidates = LAYOUTS if layout == AUTO else (lookup(layout),)
    attempts = [(candidate, sort(keys, candidate)) for candidate in candidates]
    for candidate, places in attempts:
        if places.leaves and not places.unknown:
            return candidate, places
    if layout != AUTO:
        unknown = ", ".join(sorted(attempts[0][1].unknown)) or "every key"
        raise ConfigError(f"{what} has keys without a place in layout '{layout}': {unknown}")
    near = sorted((pair for pair in attempts if pair[1].leaves), key=lambda x: len(x[1].unknown))
    tried = "; ".join(f"'{x.name}' does not know {listed(p.unknown)}" for x, p in near[:SHOWN])
    raise ConfigError(
        f"no layout knows all {len(keys)} keys of {what}"
        + (
            f"; name one with layout= to see all that it lacks: {tried}"
            if near
            else f", such as {listed(keys)}; there are {', '.join(x.name for x in LAYOUTS)}"
        )
    )
