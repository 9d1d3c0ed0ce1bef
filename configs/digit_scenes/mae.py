r"""MAE on the embedded digit scenes: pixels of 75 % hidden patches.

m3i pretrain --config digit_scenes/mae --workdir runs/mae
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        objective=dict(name="mae", hidden=0.75),
        target=dict(name="pixels", normalization="patch"),
        augment=dict(),
        decoders=dict(image=dict(name="infill", width=128, depth=2, heads=4)),
    )
