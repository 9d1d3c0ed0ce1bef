r"""SimMIM on the embedded digit scenes: hidden pixels by a linear layer.

m3i pretrain --config digit_scenes/simmim --workdir runs/simmim
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        encoder=dict(recipes.SMALL_VIT, patch=4, hide="mask"),
        objective=dict(name="simmim", hidden=0.6, unit=2),
        target=dict(name="pixels", normalization="raw"),
        augment=dict(),
        decoders=dict(pixels=dict(name="linear")),
        optimizer=dict(recipes.SMALL_ADAMW, no_decay=recipes.WITHOUT_CLASS),
    )
