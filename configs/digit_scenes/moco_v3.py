r"""MoCo v3 on the embedded digit scenes.

m3i pretrain --config digit_scenes/moco_v3 --workdir runs/moco_v3
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        encoder=dict(recipes.SMALL_VIT, frozen_patch=True),
        objective=dict(name="moco_v3", temperature=0.2),
        target=dict(name="ema", heads="projector", momentum=0.98, end=1.0),
        decoders=dict(
            projector=dict(recipes.MLP, layers=3, bias=False, norm_out=True),
            predictor=dict(recipes.PREDICTOR, bias=False, norm_out=True),
        ),
    )
