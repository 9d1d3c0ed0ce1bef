r"""Pixio on the embedded digit scenes: MAE with holes of four patches.

m3i pretrain --config digit_scenes/pixio --workdir runs/pixio
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        encoder=recipes.FINE_VIT,
        objective=dict(name="pixio", hidden=0.75, unit=2),
        target=dict(name="pixels", normalization="patch"),
        augment=dict(),
        decoders=dict(image=dict(name="infill", width=128, depth=4, heads=4)),
    )
