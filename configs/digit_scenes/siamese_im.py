r"""SiameseIM on the embedded digit scenes: dense features of another view.

    m3i pretrain --config digit_scenes/siamese_im --workdir runs/sim

`--config.objective.negative_weight=0.0` leaves out UniGrad's decorrelation.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        encoder=dict(name="vit_nano", patch=8, final_norm=False),
        objective=dict(name="siamese_im", hidden=0.6, projector=True, negative_weight=0.02),
        target=dict(name="ema", heads="projector", momentum=0.99, end=1.0),
        decoders=dict(
            projector=dict(name="projector", depth=1, heads=4, norm="batch"),
            image=dict(
                name="query", width=128, depth=2, heads=4, norm="batch", embed=False,
                class_token=True, input="projector",
            ),
        ),
    )  # fmt: skip
