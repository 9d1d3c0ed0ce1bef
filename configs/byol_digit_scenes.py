r"""BYOL on the embedded digit scenes.

python experiments/pretrain.py --config configs/byol_digit_scenes.py --workdir runs/byol
"""

import recipes


def get_config():
    return recipes.digit_scenes(
        objective=dict(name="byol"),
        target=dict(name="ema", heads="projector", momentum=0.98, end=1.0),
        decoders=dict(projector=recipes.MLP, predictor=recipes.PREDICTOR),
    )
