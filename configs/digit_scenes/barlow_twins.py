r"""Barlow Twins on the embedded digit scenes.

    m3i pretrain --config digit_scenes/barlow_twins \
        --workdir runs/barlow_twins
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        objective=dict(name="barlow_twins", off_diagonal=0.0051),
        decoders=dict(projector=dict(recipes.MLP, layers=3, out=128)),
    )
