"""What descriptions for either library ask of an encoder, and how they say its sizes."""

from typing import Any

from m3i_jax.build import ConfigError

TABLE = ("learned", "sincos", "tuned")  # positions that others keep as a table


# Of blocks whose norms are layer norms, whose layers have biases, and that attend to the whole map,
# as those of most are and do.
PLAIN = dict(norm="layer", block_bias=True, window=0)


def needs(module: Any, what: str, **wanted: Any) -> None:
    """Refuses an encoder that has other fields than `wanted`; a tuple lists alternatives."""
    for name, value in wanted.items():
        has, allowed = getattr(module, name), value if isinstance(value, tuple) else (value,)
        if not any(has == x and isinstance(has, bool) == isinstance(x, bool) for x in allowed):
            said = " or ".join(map(repr, allowed))
            raise ConfigError(f"{what} is an encoder with {name}={said}, and this one has {has!r}")


def ratio_rounded_down(module: Any) -> float:
    """The ratio of which others make the hidden width by rounding down."""
    ratio, hidden = module.mlp_ratio, round(module.mlp_ratio * module.width)
    if getattr(module, "gated", False):
        ratio, hidden = 2 * ratio, 2 * hidden
    return ratio if int(module.width * ratio) == hidden else (hidden + 0.5) / module.width


def check_windows(module: Any, what: str) -> None:
    """Refuses what the SwinV2 of others cannot be: they attend to the padding of a map."""
    needs(module, what, final_norm=True)
    shifts = {module.shift} if isinstance(module.shift, bool) else set(module.shift)
    if shifts != {True}:
        raise ConfigError(f"{what} is an encoder with shift=True, and this one has {module.shift}")
    for cut in module.windows():
        if cut.padded != cut.grid:
            raise ConfigError(
                f"{what} attends to padding, and the windows of {cut.size} of this one do not "
                f"divide its map of {cut.grid}"
            )


def per_stage(value: Any, depths: Any) -> list[int]:
    """One number for each stage."""
    return [value] * len(depths) if isinstance(value, int) else list(value)
