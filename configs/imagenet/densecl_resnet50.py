r"""DenseCL, ResNet-50, ImageNet-1k, 200 epochs (Wang et al. 2021).

    m3i plan --config imagenet/densecl_resnet50

Batch norms are over the whole batch (published: over each device's part, the keys' shuffled). The
rate falls with every epoch.
Reported: 58.7 AP on VOC; not yet run by us.
Constants and sources: docs/methods.md#densecl.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.moco_v2(
        objective=dict(name="densecl", temperature=0.2, size=65536),
        target=dict(name="ema", heads="dense_heads", momentum=0.999, end=0.999),
        decoders=dict(dense_heads=dict(name="dense_heads", hidden=2048, out=128, unit_norm=False)),
    )
