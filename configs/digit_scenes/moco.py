r"""MoCo v2 on the embedded digit scenes.

m3i pretrain --config digit_scenes/moco --workdir runs/moco
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        objective=dict(name="moco", temperature=0.2, size=4096),
        target=dict(name="ema", heads="projector", momentum=0.99, end=0.99),
        decoders=dict(projector=dict(recipes.MLP, norm="none")),
    )
