r"""MoCo v2, ResNet-50, ImageNet-1k, 200 epochs (Chen et al. 2020).

    m3i plan --config imagenet/moco_resnet50

Batch norms are over the whole batch (published: over each device's part, the keys' shuffled). The
rate falls with every epoch.
Reported: 67.5 linear; not yet run by us.
Constants and sources: docs/methods.md#moco.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.moco_v2(
        objective=dict(name="moco", temperature=0.2, size=65536),
        target=dict(name="ema", heads="projector", momentum=0.999, end=0.999),
        decoders=dict(projector=dict(recipes.MLP, hidden=2048, out=128, norm="none")),
    )
