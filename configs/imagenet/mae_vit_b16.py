r"""MAE, ViT-B/16, ImageNet-1k, 1600 epochs (He et al. 2022).

    m3i plan --config imagenet/mae_vit_b16

Reported: 68.0 linear, 83.6 fine-tuned; not yet run by us.
Constants and sources: docs/methods.md#mae.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.imagenet(
        crops=dict(scale=(0.2, 1.0), flip=0.5),
        augment=dict(),
        encoder=dict(name="vit_b16", positions="sincos"),
        objective=dict(name="mae", hidden=0.75),
        target=dict(name="pixels", normalization="patch"),
        decoders=dict(image=dict(name="infill", width=512, depth=8, heads=16)),
        optimizer=dict(name="adamw", lr=2.4e-3, b2=0.95, weight_decay=0.05),
    )
