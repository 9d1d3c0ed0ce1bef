"""Which sizes and options of a ViT go together."""

from flax import linen as nn

from m3i_jax import normalize
from m3i_jax.build import ConfigError
from m3i_jax.nn.blocks import check_blocks


def check(module: nn.Module) -> None:
    """Refuses a ViT that there cannot be.

    module: it, with its fields.

    Raises:
      ConfigError: sizes or options that do not fit together, named.
    """
    height, width = module.size
    if module.patch < 1 or height % module.patch or width % module.patch:
        raise ConfigError(f"image {height}x{width} is not divisible by patch {module.patch}")
    if module.width % 4 and module.positions in ("sincos", "tuned"):
        raise ConfigError(f"width {module.width} is not divisible by 4, as sincos positions need")
    if module.turned and module.width // module.heads % 4:
        raise ConfigError(
            f"heads are {module.width // module.heads} wide, which is not divisible by 4, as "
            f"positions '{module.positions}' need"
        )
    if module.turned and module.rope == "capi" and module.registers % 4:
        raise ConfigError(
            f"registers is {module.registers}, and rope='capi' has as many along each of 4 sides"
        )
    if module.registers and module.relative_bias != "none":
        raise ConfigError(
            f"registers have no place: registers is {module.registers}, so relative_bias has to "
            f"be 'none', not '{module.relative_bias}'"
        )
    normalize.statistics(module.normalization)
    check_blocks(
        "the encoder",
        width=module.width,
        heads=module.heads,
        depth=module.depth,
        dtype=module.dtype,
        remat=module.remat,
        attention=module.attention,
        mlp_ratio=module.mlp_ratio,
        drop_path=module.drop_path,
        schedule=module.drop_path_schedule,
        qkv_bias=module.qkv_bias,
        attention_dropout=module.attention_dropout,
    )
    _check_windows(module)


def _check_windows(module: nn.Module) -> None:
    """Refuses what blocks of which some attend in windows cannot have."""
    window, everywhere, depth = module.window, module.global_blocks, module.depth
    if everywhere and not window:
        raise ConfigError(
            f"global_blocks is {[*everywhere]}, but all blocks attend to the whole map where "
            "window is 0"
        )
    if [*everywhere] != sorted(set(everywhere)) or any(not 1 <= i <= depth for i in everywhere):
        raise ConfigError(
            f"global_blocks is {[*everywhere]}, expected numbers from 1 to {depth} in rising order"
        )
    if not module.on_map:
        return
    what = f"window {window}" if window else "relative_bias 'decomposed'"
    if module.class_token or module.registers:
        raise ConfigError(
            f"{what} is of a map, on which a class token and registers have no place: expected "
            f"class_token False and registers 0, not {module.class_token} and {module.registers}"
        )
    if module.relative_bias not in ("none", "decomposed"):
        raise ConfigError(
            f"{what} has relative_bias 'none' or 'decomposed', not '{module.relative_bias}', whose "
            "table is of the whole map"
        )
