r"""data2vec, ViT-B/16, ImageNet-1k, 800 epochs (Baevski et al. 2022).

    m3i plan --config imagenet/data2vec_vit_b16

Reported: 84.2 fine-tuned; not yet run by us.
Constants and sources: docs/methods.md#data2vec.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.beit(
        encoder=dict(recipes.MASKED_VIT, layer_scale=1e-4, drop_path=0.25, attention_dropout=0.05),
        objective=dict(name="data2vec", hidden=120 / 196, layers=6),
        target=dict(name="ema", momentum=0.9998, end=0.9998),
        decoders=dict(dense=dict(name="linear")),
        optimizer=dict(recipes.BEIT_ADAMW, lr=2e-3),
    )
