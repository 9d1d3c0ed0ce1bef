r"""MSN on the embedded digit scenes, with two small crops.

python experiments/pretrain.py --config configs/msn_digit_scenes.py --workdir runs/msn
"""

import recipes


def get_config():
    return recipes.digit_scenes(
        crops=dict(scale=(0.7, 1.0), flip=0.0, local_size=16, local_scale=(0.2, 0.5)),
        augment=dict(a=recipes.MILD, b=recipes.MILD, local=recipes.MILD),
        objective=dict(
            name="msn", hidden=0.15, local=2, sharpen=0.25, sinkhorn=3, entropy_weight=1.0
        ),
        target=dict(name="ema", heads="projector", momentum=0.98, end=1.0),
        decoders=dict(
            projector=dict(recipes.MLP, layers=3, activation="gelu", pool="class"),
            prototypes=dict(name="prototypes", out=128, temperature=0.1, input="projector"),
        ),
    )
