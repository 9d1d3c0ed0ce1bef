r"""NNCLR on the embedded digit scenes.

m3i pretrain --config digit_scenes/nnclr --workdir runs/nnclr
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        objective=dict(name="nnclr", temperature=0.1, size=2048),
        decoders=dict(
            projector=dict(recipes.MLP, layers=3, norm_out=True), predictor=recipes.PREDICTOR
        ),
    )
