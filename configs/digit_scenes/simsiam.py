r"""SimSiam on the embedded digit scenes.

m3i pretrain --config digit_scenes/simsiam --workdir runs/simsiam
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        objective=dict(name="simsiam"),
        decoders=dict(
            projector=dict(recipes.MLP, layers=3, norm_out=True),
            predictor=dict(recipes.PREDICTOR, hidden=32),
        ),
    )
