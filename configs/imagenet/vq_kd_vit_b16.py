r"""VQ-KD, BEiT v2's tokenizer, ViT-B/16, ImageNet-1k, 100 epochs (Peng et al. 2022).

    m3i plan --config imagenet/vq_kd_vit_b16
    m3i pretrain --config imagenet/vq_kd_vit_b16 \
        --workdir runs/vq_kd_vit_b16

You put the teacher, CLIP's ViT-B/16, in weights/clip_vit_b16, with its projection as
`teacher_head`. The decoder's positions are fixed (published: learned).
BEiT v2 on these tokens: 85.5 fine-tuned; not yet run by us.
Constants and sources: docs/methods.md#vq_kd.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.with_clip(
        batch=512,
        duration="100 epochs",
        warmup="10 epochs",
        encoder=recipes.TOKENIZER_VIT,
        objective=dict(name="vq_kd", vocabulary=8192, decay=0.99, commitment=1.0),
        target=dict(name="frozen", heads="teacher_head"),
        decoders=dict(
            teacher_head=recipes.CLIP_PROJECTION,
            bottleneck=recipes.VQ_KD_BOTTLENECK,
            dense=dict(
                name="infill", width=768, depth=3, heads=12, head="tanh", input="bottleneck"
            ),
        ),
        optimizer=dict(recipes.BEIT_ADAMW, lr=2e-4, b2=0.99, weight_decay=1e-4, clip=None),
    )
