r"""MSN on the embedded digit scenes, with two small crops.

m3i pretrain --config digit_scenes/msn --workdir runs/msn
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.with_small_crops(
        objective=dict(
            name="msn", hidden=0.15, local=2, sharpen=0.25, sinkhorn=3, entropy_weight=1.0
        ),
        target=dict(name="ema", heads="projector", momentum=0.98, end=1.0),
        decoders=dict(
            projector=dict(recipes.MLP, layers=3, activation="gelu", pool="class"),
            prototypes=dict(name="prototypes", out=128, temperature=0.1, input="projector"),
        ),
        optimizer=dict(recipes.SMALL_ADAMW, **recipes.MSN_RULES),
    )
