r"""M3I on the embedded digit scenes, a small ViT: minutes on two cores.

    m3i pretrain --workdir runs/m3i
    m3i pretrain --config digit_scenes/m3i:images --workdir runs/ssl

`:images` leaves the image terms alone (no categories, no captions). The README has the measured
result of the first command.
"""

from m3i_jax.configs import recipes


def get_config(argument=""):
    config = recipes.digit_scenes(
        objective=dict(
            recipes.M3I,
            # Captions are told apart by colour and photograph long before digits are.
            text_weight=0.1,
        ),
        target=dict(name="ema", end=0.995),
        weighting=dict(name="gradient_norm", gamma=5.0, decay=0.99),
        captions=dict(vocabulary=512, length=16),
        towers=dict(
            category=dict(name="table", size=10, width=128),
            text=dict(
                name="text_nano",
                width=64,
                depth=1,
                heads=2,
                vocabulary=512,
                length=16,
                unit_norm=True,
            ),
        ),
        decoders=dict(
            image=dict(name="query", width=64, depth=1, heads=4),
            category=dict(name="attention_pool", heads=4),
            text=dict(name="attention_pool", heads=4, logit_scale=True),
        ),
    )
    return recipes.images_only(config) if argument == "images" else config
