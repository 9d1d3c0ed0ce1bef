r"""SimCLR on the embedded digit scenes.

python experiments/pretrain.py --config configs/digit_scenes/simclr.py --workdir runs/simclr
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        objective=dict(name="simclr", temperature=0.1),
        decoders=dict(projector=recipes.MLP),
    )
