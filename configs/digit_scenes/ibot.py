r"""iBOT on the embedded digit scenes, without small crops.

m3i pretrain --config digit_scenes/ibot --workdir runs/ibot
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        encoder=dict(recipes.SMALL_VIT, hide="mask"),
        objective=dict(
            name="ibot", local=0, hidden=0.3, spread=0.2, temperature=0.1, target_temperature=0.04
        ),
        target=dict(name="ema", heads=("projector", "prototypes"), momentum=0.98, end=1.0),
        decoders=dict(
            projector=dict(
                recipes.MLP, layers=3, norm="none", activation="gelu", pool="both",
                unit_norm=True,
            ),
            prototypes=dict(name="prototypes", out=512, pool="both", input="projector"),
        ),
        optimizer=dict(recipes.SMALL_ADAMW, clip=3.0, clip_by="leaf"),
    )  # fmt: skip
