r"""VICReg on the embedded digit scenes.

m3i pretrain --config digit_scenes/vicreg --workdir runs/vicreg
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        objective=dict(name="vicreg", invariance=25.0, variance=25.0, covariance=1.0),
        decoders=dict(projector=dict(recipes.MLP, layers=3, out=128)),
    )
