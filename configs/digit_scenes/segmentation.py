r"""Segmentation of the embedded digit scenes: which pixels are of a digit, and of which.

m3i pretrain --config digit_scenes/segmentation --workdir runs/segmentation
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        objective=dict(name="segmentation", classes=11, blocks="stages"),
        augment=dict(a=recipes.MILD),
        # What is behind a block has no norm, the last one neither.
        encoder=dict(recipes.FINE_VIT, final_norm=False),
        # Behind the first quarter, where cells are told apart, and behind the last.
        decoders=dict(segmentation=dict(name="dense_linear", maps=(0, -1))),
    )
