r"""DINO, ViT-S/16, ImageNet-1k, 800 epochs, 10 small crops (Caron et al. 2021).

    m3i plan --config imagenet/dino_vit_s16

Reported: 77.0 linear, 74.5 kNN; not yet run by us.
Constants and sources: docs/methods.md#dino.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.imagenet(
        batch=1024,
        duration="800 epochs",
        warmup="10 epochs",
        crops=dict(scale=(0.25, 1.0), flip=0.5, local_size=96, local_scale=(0.05, 0.25)),
        augment=dict(a=recipes.TARGET_VIEW, b=recipes.INPUT_VIEW, local=dict(blur=0.5)),
        encoder=dict(
            name="vit_s16", positions="learned", drop_path=0.1, weight_init="deit"
        ),
        objective=dict(
            name="dino", local=10, temperature=0.1, centring=True,
            target_temperature=(0.04, 0.07, 30 / 800, 30),
        ),
        target=dict(
            name="ema", heads=("projector", "prototypes"), momentum=0.996, end=1.0
        ),
        decoders=dict(
            projector=dict(
                recipes.MLP, layers=3, hidden=2048, out=256, norm="none", activation="gelu",
                pool="class", unit_norm=True,
            ),
            prototypes=dict(name="prototypes", out=65536, lengths=True, input="projector"),
        ),
        optimizer=dict(
            name="adamw", base_lr=5e-4, end_lr=1e-5, schedule=recipes.CLOSED, b2=0.999,
            weight_decay=0.04, weight_decay_end=0.4, clip=3.0, clip_by="leaf",
            late=(("^decoders/prototypes/", 1 / 800),),
        ),
    )  # fmt: skip
