r"""SimMIM, ViT-B/16, ImageNet-1k, 800 epochs (Xie et al. 2022; METHODS §6.2).

    python experiments/plan.py --config configs/simmim_vit_b16_in1k.py

The rate falls by ten at epochs 711 and 770 (published: once, at 700), the milestones the library
has; the warm-up starts at 0, not at 5e-7.
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
            name="adamw", lr=4e-4, schedule="milestones", b2=0.999, weight_decay=0.05, clip=5.0,
            # Neither 1-D parameters nor tokens and position biases decay.
            no_decay=recipes.ONE_DIMENSIONAL + r"|(^|/)(cls|mask)_token$|relative_position",
        ),
    )  # fmt: skip
