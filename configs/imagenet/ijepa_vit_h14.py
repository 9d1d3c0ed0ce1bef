r"""I-JEPA, ViT-H/14, ImageNet-1k, 300 epochs (Assran et al. 2023).

    m3i plan --config imagenet/ijepa_vit_h14

Reported: 79.3 linear; not yet run by us.
Constants and sources: docs/methods.md#ijepa.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.imagenet(
        batch=2048,
        duration="300 epochs",
        warmup="40 epochs",
        crops=dict(scale=(0.3, 1.0), flip=0.0, interpolation="bilinear"),
        augment=dict(),
        encoder=dict(
            name="vit_h14", positions="sincos", class_token=False, weight_init="vq_kd"
        ),
        objective=dict(name="ijepa", hidden=0.75, blocks=4),
        target=dict(name="ema", momentum=0.996, end=1.0, schedule="linear"),
        decoders=dict(
            image=dict(name="predictor", width=384, depth=12, heads=16, weight_init="vq_kd")
        ),
        optimizer=dict(
            name="adamw", lr=1e-3, end_lr=1e-6, b2=0.999, weight_decay=0.04, weight_decay_end=0.4,
            schedule=dict(name="cosine", start=2e-4),
        ),
    )  # fmt: skip
