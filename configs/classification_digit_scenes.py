r"""Supervised classification of the embedded digit scenes.

python experiments/pretrain.py --config configs/classification_digit_scenes.py --workdir runs/c
"""

import recipes


def get_config():
    return recipes.digit_scenes(
        objective=dict(name="classification", label_smoothing=0.1),
        towers=dict(category=dict(name="table", size=10, width=128)),
        decoders=dict(category=dict(name="attention_pool", heads=4)),
    )
