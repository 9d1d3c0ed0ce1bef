r"""Supervised classification, ViT-B/16, ImageNet-1k, 400 epochs: the baseline of M3I Table 3.

    m3i plan --config imagenet/classification_vit_b16

M3I's label decoder and augmentation. Reported: 81.8; not yet run by us.
Constants and sources: docs/methods.md#classification.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.imagenet(
        duration="400 epochs",
        objective=dict(name="classification", label_smoothing=0.1),
        towers=dict(category=dict(name="table", size=1000, width=768)),
        decoders=dict(category=dict(name="attention_pool", heads=16)),
    )
