r"""Feature distillation (FD), ViT-B/16, ImageNet-1k, 300 epochs (Wei et al. 2022).

    m3i plan --config imagenet/feature_distillation_vit_b16

You put the teacher, CLIP's ViT-B/16, in weights/clip_vit_b16.
Reported: 84.9 fine-tuned; not yet run by us.
Constants and sources: docs/methods.md#feature_distillation.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.with_clip(
        batch=2048,
        duration="300 epochs",
        warmup="10 epochs",
        crops=dict(scale=(0.08, 1.0), flip=0.5, interpolation="bilinear"),
        encoder=dict(recipes.BEIT_VIT, drop_path=0.2),
        objective=dict(name="feature_distillation"),
        decoders=dict(dense=dict(name="linear", pool="all")),
        optimizer=dict(
            # The published rates, 3e-4, 5e-7 and 5e-6, are per 512 images.
            name="adamw", base_lr=1.5e-4, end_lr=2e-5, schedule=dict(name="cosine", start=2e-6),
            b2=0.999, weight_decay=0.05, clip=3.0,
            no_decay=recipes.WITHOUT_CLASS,
        ),
    )  # fmt: skip
