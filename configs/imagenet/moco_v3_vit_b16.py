r"""MoCo v3, ViT-B/16, ImageNet-1k, 300 epochs (Chen et al. 2021).

    m3i plan --config imagenet/moco_v3_vit_b16

The patch embedding stays as it was drawn. `:small` is ViT-S/16 with the 12 heads that it has here.
Reported: 76.7 linear, small 73.2; not yet run by us.
Constants and sources: docs/methods.md#moco_v3.
"""

from m3i_jax.configs import recipes

VITS = {
    "": dict(name="vit_b16", positions="sincos", frozen_patch=True),
    "small": dict(name="vit_s16", heads=12, positions="sincos", frozen_patch=True),
}


def get_config(size=""):
    return recipes.imagenet(
        duration="300 epochs",
        crops=dict(scale=(0.08, 1.0), flip=0.5, interpolation="bilinear"),
        encoder=VITS[size],
        objective=dict(name="moco_v3", temperature=0.2),
        target=dict(name="ema", heads="projector", momentum=0.99, end=1.0),
        decoders=dict(
            projector=dict(
                recipes.MLP, layers=3, hidden=4096, out=256, bias=False, norm_out=True,
                pool="class",
            ),
            predictor=dict(recipes.PREDICTOR, hidden=4096, bias=False, norm_out=True),
        ),
        optimizer=dict(
            name="adamw", base_lr=1.5e-4, b2=0.999, weight_decay=0.1,
            no_decay=recipes.NOTHING,
            freeze="encoders/image/patch_embed",
        ),
    )  # fmt: skip
