r"""Fine-tuning of CIM's ResNet-50, ImageNet-1k, 100 to 600 epochs (CIM Table 11).

    m3i plan --config finetune/cim_resnet50
    m3i plan --config finetune/cim_resnet50:600

From the run of `imagenet/cim_resnet50.py:revdet`; --config.init_from.path=FILE takes other weights.
BCE over binarised targets as in timm, which Table 11 follows: a category is shown where its
smoothed share is more than 0.2.
Reported: 78.6, 80.4 and 80.6; not run by us.
Constants and sources: docs/methods.md#fine-tuning.
"""

from m3i_jax.configs import recipes

# Epochs: side in pixels, weight decay, repeats of each image, RandAugment's magnitude, mixup's α,
# label smoothing, drop path.
TABLE = {
    "100": (160, 0.02, 1, 6.0, 0.1, 0.1, 0.0),
    "300": (224, 0.02, 3, 7.0, 0.1, 0.0, 0.0),
    "600": (224, 0.01, 3, 7.0, 0.2, 0.1, 0.05),
}


def get_config(epochs="100"):
    side, decay, repeats, magnitude, mixup, smoothing, drop_path = TABLE[epochs]
    return recipes.imagenet(
        image=side,
        batch=2048,
        duration=f"{epochs} epochs",
        warmup="5 epochs",
        crops=recipes.rand_augment(magnitude, scale=(0.08, 1.0), flip=0.5, repeats=repeats),
        augment=dict(),
        encoder=dict(name="resnet50", drop_path=drop_path),
        init_from=dict(path="runs/cim_resnet50_revdet"),
        objective=dict(
            name="mixed_classification", mixup=mixup, cutmix=1.0, label_smoothing=0.0, binary=True,
            # share · (1 − smoothing) + smoothing / 1000 > 0.2
            least=(0.2 - smoothing / 1000) / (1 - smoothing),
        ),
        average=dict(head=True),
        validation=dict(every="1 epochs", size=224, ratio=0.95),
        monitor=dict(recipes.MONITOR, size=224, ratio=0.95),
        **recipes.classifier(1000, 2048),
        # The schedule is as in the code of BEiT, which Table 11 follows.
        optimizer=dict(
            name="adamw", lr=12e-3, end_lr=1e-6, schedule=recipes.CLOSED, b2=0.999,
            weight_decay=decay,
        ),
    )  # fmt: skip
