r"""SupCon, ResNet-50, ImageNet-1k, 350 epochs (Khosla et al. 2020).

    m3i plan --config imagenet/supcon_resnet50

The paper's views are made by AutoAugment, which is not offered here: RandAugment stands in its
place. Reported with AutoAugment: 78.7 of a classifier on frozen features; not yet run by us.
Constants and sources: docs/methods.md#supcon.
"""

from m3i_jax.configs import recipes


def get_config():
    optimizer = dict(recipes.LARS, base_lr=0.4, weight_decay=1e-3, no_decay=recipes.NORMS)
    return recipes.large_batch(
        batch=6144,
        duration="350 epochs",
        warmup="12 epochs",
        crops=recipes.rand_augment(9.0, scale=(0.08, 1.0), flip=0.5, interpolation="bilinear"),
        augment=dict(),
        objective=dict(name="supcon", temperature=0.1),
        decoders=dict(projector=dict(name="linear", out=128, pool="mean", norm_in="unit")),
        optimizer=dict(optimizer, rate_inside=True),
    )
