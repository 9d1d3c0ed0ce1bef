r"""BYOL on the embedded digit scenes.

m3i pretrain --config digit_scenes/byol --workdir runs/byol
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        objective=dict(name="byol"),
        target=dict(name="ema", heads="projector", momentum=0.98, end=1.0),
        decoders=dict(projector=recipes.MLP, predictor=recipes.PREDICTOR),
    )
