r"""MILAN, ViT-B/16, ImageNet-1k, 400 epochs (Hou et al. 2022).

    m3i plan --config imagenet/milan_vit_b16

You put the teacher, CLIP's ViT-B/16, in weights/clip_vit_b16, with its projection as
`teacher_head`. As in the released script, it sees images normalised as ImageNet's, not as CLIP's.
Reported: 85.4 fine-tuned; not yet run by us.
Constants and sources: docs/methods.md#milan.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.with_clip(
        towers=dict(teacher=dict(recipes.CLIP_VIT, normalization="imagenet")),
        weights=dict(teacher=dict(path="weights/clip_vit_b16", ignore="^normalization$")),
        duration="400 epochs",
        crops=dict(scale=(0.2, 1.0), flip=0.5),
        encoder=dict(name="vit_b16", positions="sincos"),
        objective=dict(name="milan", hidden=0.75),
        target=dict(name="frozen", heads="teacher_head", class_token=True),
        decoders=dict(
            teacher_head=recipes.CLIP_PROJECTION,
            image=dict(name="prompt", width=512, depth=8, heads=16, class_token=True),
        ),
        optimizer=dict(name="adamw", base_lr=1.5e-4, b2=0.95, weight_decay=0.05),
    )
