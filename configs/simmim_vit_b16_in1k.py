r"""SimMIM, ViT-B/16, ImageNet-1k, 800 epochs (Xie et al. 2022; METHODS §6.2).

    python experiments/plan.py --config configs/simmim_vit_b16_in1k.py

Reported: 83.8 fine-tuned; not yet run by us.
"""

import recipes


def get_config():
    return recipes.imagenet(
        batch=2048,
        duration="800 epochs",
        warmup="10 epochs",
        crops=dict(scale=(0.67, 1.0), flip=0.5),
        augment=dict(),
        encoder=recipes.MASKED_VIT,
        objective=dict(name="simmim", hidden=0.6, unit=2),
        target=dict(name="pixels", normalization="raw"),
        decoders=dict(pixels=dict(name="linear")),
        optimizer=dict(
            name="adamw", lr=4e-4, b2=0.999, weight_decay=0.05, clip=5.0,
            schedule=dict(
                name="milestones", milestones=(700 / 800,), factor=0.1, start=5e-7
            ),
            # Neither 1-D parameters nor tokens and position biases decay.
            no_decay=recipes.ONE_DIMENSIONAL + r"|(^|/)(cls|mask)_token$|relative_position",
        ),
    )  # fmt: skip
