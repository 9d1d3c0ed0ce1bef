r"""MSN, ViT-S/16, ImageNet-1k, 800 epochs, 10 small crops (Assran et al. 2022).

    m3i plan --config imagenet/msn_vit_s16

Rate, decay and the average's momentum are on their way to 1.25 times the run when it ends.
Reported: 76.9 linear; not yet run by us.
Constants and sources: docs/methods.md#msn.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.imagenet(
        batch=1024,
        duration="800 epochs",
        warmup="15 epochs",
        crops=dict(
            scale=(0.3, 1.0), flip=0.5, local_size=96, local_scale=(0.05, 0.3),
            interpolation="bilinear",
        ),
        augment=dict(a=recipes.BLURRED, b=recipes.BLURRED, local=recipes.BLURRED),
        encoder=dict(name="vit_s16", positions="learned", weight_init="deit"),
        objective=dict(
            name="msn", hidden=0.15, local=10, sharpen=0.25, sinkhorn=3, entropy_weight=1.0
        ),
        target=dict(
            name="ema", heads="projector", momentum=0.996, end=1.0, schedule="linear", stretch=1.25
        ),
        decoders=dict(
            projector=dict(
                recipes.MLP, layers=3, hidden=2048, out=256, activation="gelu", pool="class"
            ),
            prototypes=dict(name="prototypes", out=1024, temperature=0.1, input="projector"),
        ),
        optimizer=dict(
            recipes.MSN_RULES, name="adamw", lr=1e-3, end_lr=1e-6,
            schedule=dict(name="cosine", start=2e-4), stretch=1.25, b2=0.999, weight_decay=0.04,
            weight_decay_end=0.4, clip=3.0,
        ),
    )  # fmt: skip
