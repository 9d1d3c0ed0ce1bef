r"""M3I, ViT-B/16, YFCC-15M, 138 epochs (M3I Tables 4 and 7): image terms and captions.

    m3i plan --config yfcc/m3i_vit_b16
    m3i pretrain --config yfcc/m3i_vit_b16 \
        --config.data.root=/data/yfcc15m --workdir runs/m3i_yfcc

The folder holds images with NAME.txt captions beside them. The paper reports 39.1 zero-shot,
72.3 linear, 83.7 fine-tuned; not yet run by us.
Constants and sources: docs/methods.md#m3i.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.imagenet(
        duration="138 epochs",
        warmup="3.5 epochs",
        **recipes.YFCC,
        objective=dict(recipes.M3I, category=False, mix_group=16),
        target=dict(name="ema", momentum=0.995, end=1.0),
        weighting=dict(name="gradient_norm", gamma=1.0, decay=0.99),
        captions=dict(vocabulary=49408, length=77),
        towers=dict(text=dict(name="bert_base", vocabulary=49408, length=77, unit_norm=True)),
        decoders=dict(
            image=dict(name="query", width=768, depth=4, heads=16),
            text=dict(name="attention_pool", heads=16, logit_scale=True),
        ),
    )
