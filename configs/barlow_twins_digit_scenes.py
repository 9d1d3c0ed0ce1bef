r"""Barlow Twins on the embedded digit scenes.

    python experiments/pretrain.py --config configs/barlow_twins_digit_scenes.py \
        --workdir runs/barlow_twins
"""

import recipes


def get_config():
    return recipes.digit_scenes(
        objective=dict(name="barlow_twins", off_diagonal=0.0051),
        decoders=dict(projector=dict(recipes.MLP, layers=3, out=128)),
    )
