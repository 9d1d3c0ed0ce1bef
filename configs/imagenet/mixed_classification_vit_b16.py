r"""Mixup and CutMix, ViT-B/16, ImageNet-1k, 800 epochs (DeiT III, Touvron 2022).

    m3i plan --config imagenet/mixed_classification_vit_b16

The last 20 epochs at 224 pixels are a run of their own. The rate follows a smooth curve (published:
a step for each epoch, along a cosine that begins with the warm-up).
Reported for DeiT III: 83.8; not yet run by us.
Constants and sources: docs/methods.md#mixed_classification.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.imagenet(
        image=192,
        batch=2048,
        duration="800 epochs",
        warmup="5 epochs",
        crops=dict(scale=(0.08, 1.0), flip=0.5, repeats=3),
        augment=dict(
            a=dict(
                brightness=0.3, contrast=0.3, saturation=0.3, hue=0.0, jitter=1.0,
                grayscale=1 / 3, solarize=1 / 3, blur=1 / 3, exclusive=True,
            ),
        ),
        encoder=dict(
            name="vit_b16", positions="learned", layer_scale=1e-4, drop_path=0.2,
            drop_path_schedule="uniform", weight_init="deit",
        ),
        objective=dict(
            name="mixed_classification", mixup=0.8, cutmix=1.0, label_smoothing=0.0, binary=True
        ),
        monitor=dict(recipes.MONITOR, ratio=1.0),
        **recipes.classifier(1000, 768, pool="class"),
        optimizer=dict(
            name="lamb", lr=3e-3, end_lr=1e-5, schedule=dict(name="cosine", start=1e-6),
            weight_decay=0.05, clip=1.0, no_decay=recipes.WITHOUT_CLASS,
        ),
    )  # fmt: skip
