r"""MaskFeat, ViT-B/16, ImageNet-1k, 300 epochs (Wei et al. 2022).

    m3i plan --config imagenet/maskfeat_vit_b16

Reported: 84.0 fine-tuned, of 1600 epochs; not yet run by us.
Constants and sources: docs/methods.md#maskfeat.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.imagenet(
        batch=2048,
        duration="300 epochs",
        warmup="30 epochs",
        crops=dict(scale=(0.5, 1.0), flip=0.5),
        augment=dict(),
        encoder=dict(
            name="vit_b16", positions="learned", hide="mask", final_norm=False, weight_init="deit"
        ),
        objective=dict(name="maskfeat", hidden=0.4),
        target=dict(name="hog", cell=8),
        decoders=dict(edges=dict(name="linear")),
        optimizer=dict(
            name="adamw", base_lr=2e-4, end_lr=1e-6, b2=0.999, weight_decay=0.05, clip=0.02,
            schedule=dict(name="cosine", start=1e-6),
        ),
    )  # fmt: skip
