r"""DenseCL on the embedded digit scenes: images and their cells.

m3i pretrain --config digit_scenes/densecl --workdir runs/densecl
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        objective=dict(name="densecl", temperature=0.2, size=4096),
        target=dict(name="ema", heads="dense_heads", momentum=0.99, end=0.99),
        decoders=dict(dense_heads=dict(name="dense_heads", hidden=256, out=64, unit_norm=False)),
    )
