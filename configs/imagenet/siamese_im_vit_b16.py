r"""SiameseIM, ViT-B/16, ImageNet-1k, 1600 epochs (Tao et al. 2023).

    m3i plan --config imagenet/siamese_im_vit_b16

129 944 832 trainable parameters. Reported: 78.0 linear, 84.1 fine-tuned; not yet run by us.
Constants and sources: docs/methods.md#siamese_im.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.imagenet(
        encoder=dict(name="vit_b16", positions="sincos", final_norm=False),
        objective=dict(name="siamese_im", hidden=118 / 196, projector=True, negative_weight=0.02),
        target=dict(name="ema", heads="projector", momentum=0.995, end=1.0),
        decoders=dict(
            projector=dict(name="projector", depth=2, heads=16, norm="batch"),
            image=dict(
                name="query", width=768, depth=4, heads=16, norm="batch", embed=False,
                class_token=True, input="projector",
            ),
        ),
        optimizer=dict(
            name="adamw", lr=1e-3, b2=0.95, weight_decay=0.05, clip=1.0,
            freeze="encoders/image/patch_embed",
        ),
    )  # fmt: skip
