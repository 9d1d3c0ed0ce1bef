r"""BYOL, ViT-S/16, ImageNet-1k, 1000 epochs (Grill et al. 2020; METHODS §2.2).

    python experiments/plan.py --config configs/byol_vit_s16_in1k.py

ViT-S/16 with the published heads, optimiser and schedule: the published encoder is ResNet-50,
which the library does not have yet. Reported for ResNet-50: 74.3 linear; not yet run by us.
"""

import recipes


def get_config():
    return recipes.large_batch(
        objective=dict(name="byol"),
        target=dict(name="ema", heads="projector", momentum=0.996, end=1.0),
        decoders=dict(
            projector=dict(recipes.MLP, hidden=4096, out=256),
            predictor=dict(recipes.PREDICTOR, hidden=4096),
        ),
        optimizer=dict(recipes.LARS, base_lr=0.2, weight_decay=1.5e-6),
    )
