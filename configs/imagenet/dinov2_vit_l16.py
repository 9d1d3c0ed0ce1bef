r"""DINOv2, ViT-L/16, ImageNet-1k, 125 000 steps of 2048 images, 8 small crops (Oquab et al. 2024).

    m3i plan --config imagenet/dinov2_vit_l16

The short recipe of its code: one head for class token and patches, targets centred, no registers.
Reported: 82.9 linear, 81.6 kNN; not yet run by us.
Constants and sources: docs/methods.md#dinov2.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.imagenet(
        batch=2048,
        duration="125000 steps",
        warmup="12500 steps",
        epoch_size=0,
        crops=dict(scale=(0.32, 1.0), flip=0.5, local_size=96, local_scale=(0.05, 0.32)),
        augment=dict(a=recipes.INPUT_VIEW, b=recipes.TARGET_VIEW, local=dict(blur=0.5)),
        encoder=dict(
            name="vit_l16", positions="learned", hide="mask", layer_scale=1e-5, drop_path=0.3,
            drop_path_schedule="uniform", weight_init="deit",
        ),
        objective=dict(
            name="dinov2", local=8, hidden=0.3, spread=0.2, temperature=0.1,
            target_temperature=(0.04, 0.07, 0.3), sinkhorn=0, untied=False, koleo=0.1,
            koleo_group=64,
        ),
        target=dict(
            name="ema", heads=("projector", "prototypes"), momentum=0.992, end=1.0
        ),
        decoders=dict(
            projector=dict(
                recipes.MLP, layers=3, hidden=2048, out=256, norm="none", activation="gelu",
                pool="both", unit_norm=True,
            ),
            prototypes=dict(
                name="prototypes", out=65536, lengths=True, pool="both", input="projector"
            ),
        ),
        optimizer=dict(
            name="adamw", lr=4e-3 * 2**0.5, end_lr=1e-6, schedule=recipes.CLOSED, b2=0.999,
            weight_decay=0.04, weight_decay_end=0.4, clip=3.0,
            clip_by=("^encoders/", "^decoders/"), layer_decay=0.9,
            lr_scale=(("/patch_embed/", 0.2),), late=(("^decoders/prototypes/", 1 / 100),),
        ),
    )  # fmt: skip
