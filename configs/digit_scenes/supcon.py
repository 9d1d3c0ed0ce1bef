r"""SupCon on the embedded digit scenes: SimCLR whose positives are all views of the digit.

m3i pretrain --config digit_scenes/supcon --workdir runs/supcon
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        objective=dict(name="supcon", temperature=0.1),
        decoders=dict(projector=recipes.MLP),
    )
