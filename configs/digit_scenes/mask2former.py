r"""Segmentation of the embedded digit scenes by queries, each of which says a category and a mask.

m3i pretrain --config digit_scenes/mask2former --workdir runs/mask2former
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        # A digit and what is behind it; views at the edge may have the latter alone.
        objective=dict(name="mask2former", classes=11, blocks="last", most=4),
        augment=dict(a=recipes.MILD),
        # Of the cells of 8 pixels four maps are made, of 2 to 16; masks have cells of 2.
        decoders=dict(
            segmentation=dict(
                name="mask2former", pyramid="simple", width=64, mask_width=64, queries=10, rounds=1,
                encoder_layers=2, heads=4, hidden=256, encoder_hidden=128, points=256,
            )
        ),
    )  # fmt: skip
