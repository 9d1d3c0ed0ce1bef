r"""DINO on the embedded digit scenes, with two small crops.

m3i pretrain --config digit_scenes/dino --workdir runs/dino
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.with_small_crops(
        objective=dict(
            name="dino", local=2, temperature=0.1, target_temperature=0.04, centring=True
        ),
        target=dict(name="ema", heads=("projector", "prototypes"), momentum=0.98, end=1.0),
        decoders=dict(
            projector=dict(
                recipes.MLP, layers=3, norm="none", activation="gelu", pool="class",
                unit_norm=True,
            ),
            prototypes=dict(name="prototypes", out=512, input="projector"),
        ),
        optimizer=dict(recipes.SMALL_ADAMW, clip=3.0, clip_by="leaf"),
    )  # fmt: skip
