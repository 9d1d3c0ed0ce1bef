r"""CAPI, ViT-L/14, ImageNet-1k, 500 000 steps at batch 16 384 (Darcet et al. 2025).

    m3i plan --config imagenet/capi_vit_l14

Fixed positions and layer norms in place of rotary ones and RMS norms, and no registers: the ViT
here has none of these. Reported: 82.9 attentive probe; not yet run by us.
Constants and sources: docs/methods.md#capi.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.imagenet(
        batch=16384,
        duration="500000 steps",
        warmup="50000 steps",
        epoch_size=0,
        crops=dict(scale=(0.6, 1.0), flip=0.5),
        augment=dict(),
        encoder=dict(
            name="vit_l16", patch=14, positions="sincos", class_token=False, drop_path=0.2,
            drop_path_schedule="uniform",
        ),
        objective=dict(
            name="capi", hidden=0.65, asked=0.05, temperature=0.12, target_temperature=0.06
        ),
        target=dict(name="ema", momentum=0.999, end=1.0, stretch=1.25),
        decoders=dict(
            clusters=dict(name="clusters", out=16384),
            image=dict(
                name="predictor", width=1024, depth=12, heads=16, reads="context",
                head="prototypes", embed=False,
            ),
        ),
        optimizer=dict(
            name="adamw", lr=1e-3, b2=0.95, weight_decay=0.1, schedule=recipes.CLOSED,
            # What is left behind the warm-up is .8 of a cosine.
            stretch=1.225,
            lr_scale=(("^encoders/image/patch_embed/", 0.2), ("^decoders/clusters/", 0.5)),
        ),
    )  # fmt: skip
