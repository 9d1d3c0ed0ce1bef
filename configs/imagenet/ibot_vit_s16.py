r"""iBOT, ViT-S/16, ImageNet-1k, 800 epochs, 10 small crops (Zhou et al. 2022).

    m3i plan --config imagenet/ibot_vit_s16

Reported: 77.9 linear, 75.2 kNN, 82.3 fine-tuned; not yet run by us.
Constants and sources: docs/methods.md#ibot.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.imagenet(
        batch=1024,
        duration="800 epochs",
        warmup="10 epochs",
        crops=dict(scale=(0.25, 1.0), flip=0.5, local_size=96, local_scale=(0.05, 0.25)),
        augment=dict(a=recipes.INPUT_VIEW, b=recipes.TARGET_VIEW, local=dict(blur=0.5)),
        encoder=dict(
            name="vit_s16", positions="learned", hide="mask", drop_path=0.1, weight_init="deit"
        ),
        objective=dict(
            name="ibot", local=10, hidden=0.3, spread=0.2, temperature=0.1,
            target_temperature=(0.04, 0.07, 30 / 800, 30),
        ),
        target=dict(
            name="ema", heads=("projector", "prototypes"), momentum=0.996, end=1.0
        ),
        decoders=dict(
            projector=dict(
                recipes.MLP, layers=3, hidden=2048, out=256, norm="none", activation="gelu",
                pool="both", unit_norm=True,
            ),
            prototypes=dict(
                name="prototypes", out=8192, lengths=True, pool="both", input="projector"
            ),
        ),
        optimizer=dict(
            name="adamw", base_lr=5e-4, end_lr=1e-6, schedule=recipes.CLOSED, b2=0.999,
            weight_decay=0.04, weight_decay_end=0.4, clip=3.0, clip_by="leaf",
            late=(("^decoders/prototypes/", 1 / 800),),
        ),
    )  # fmt: skip
