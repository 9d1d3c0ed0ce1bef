r"""MoCo v2, ViT-S/16, ImageNet-1k, 200 epochs (Chen et al. 2020; METHODS §2.2).

    python experiments/plan.py --config configs/moco_vit_s16_in1k.py

ViT-S/16 with the published heads, optimiser and schedule: the published encoder is ResNet-50,
which the library does not have yet. No weight decay (published: 1e-4), which the library's SGD
lacks; no shuffled batch norm, as there is none to shuffle.
Reported for ResNet-50: 67.5 linear; not yet run by us.
"""

import recipes


def get_config():
    return recipes.moco_v2(
        objective=dict(name="moco", temperature=0.2, size=65536),
        target=dict(name="ema", heads="projector", momentum=0.999, end=0.999),
        decoders=dict(projector=dict(recipes.MLP, hidden=2048, out=128, norm="none")),
    )
