r"""SimCLR on the embedded digit scenes.

python experiments/pretrain.py --config configs/simclr_digit_scenes.py --workdir runs/simclr
"""

import recipes


def get_config():
    return recipes.digit_scenes(
        objective=dict(name="simclr", temperature=0.1),
        decoders=dict(projector=recipes.MLP),
    )
