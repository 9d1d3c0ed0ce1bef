r"""M3I, ViT-B/16, ImageNet-1k, 1600 epochs (M3I Tables 4 and 7): image terms and categories.

    m3i plan --config imagenet/m3i_vit_b16
    m3i pretrain --config imagenet/m3i_vit_b16 \
        --config.data.root=/data/imagenet --workdir runs/m3i_in1k

The paper reports 83.3 without fine-tuning, 83.8 linear, 84.2 fine-tuned; not yet run by us.
`:images` is the self-supervised form of Table 14.
Constants and sources: docs/methods.md#m3i.
"""

from m3i_jax.configs import recipes


def get_config(argument=""):
    config = recipes.imagenet(
        objective=dict(recipes.M3I, text=False, mix_group=16),
        target=dict(name="ema", momentum=0.995, end=1.0),
        weighting=dict(name="gradient_norm", gamma=1.0, decay=0.99),
        towers=dict(category=dict(name="table", size=1000, width=768)),
        decoders=dict(
            image=dict(name="query", width=768, depth=4, heads=16),
            category=dict(name="attention_pool", heads=16),
        ),
    )
    return recipes.images_only(config) if argument == "images" else config
