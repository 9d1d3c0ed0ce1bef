r"""Key points of the embedded digit scenes: the ends and the middle of each digit.

m3i pretrain --config digit_scenes/pose --workdir runs/pose
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        data=dict(name="digit_scenes", dense=True),
        objective=dict(name="pose", points=5, sigma=1.0),
        augment=dict(a=recipes.MILD),
        # From cells of 8 pixels to heat maps of a quarter of the image.
        decoders=dict(pose=dict(name="deconvolutions", layers=1, width=64)),
    )
