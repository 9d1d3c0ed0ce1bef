r"""DenseCL, ViT-S/16, ImageNet-1k, 200 epochs (Wang et al. 2021; METHODS §2.2).

    python experiments/plan.py --config configs/densecl_vit_s16_in1k.py

ViT-S/16 with the published heads, optimiser and schedule: the published encoder is ResNet-50,
which the library does not have yet. No weight decay (published: 1e-4), which the library's SGD
lacks. A view has 14×14 cells, not 7×7.
Reported for ResNet-50: 58.7 AP on VOC; not yet run by us.
"""

import recipes


def get_config():
    return recipes.moco_v2(
        objective=dict(name="densecl", temperature=0.2, size=65536),
        target=dict(name="ema", heads="dense_heads", momentum=0.999, end=0.999),
        decoders=dict(dense_heads=dict(name="dense_heads", hidden=2048, out=128, unit_norm=False)),
    )
