r"""CAE, ViT-B/16, ImageNet-1k, 1600 epochs on DALL-E's tokens (Chen et al. 2022).

    m3i plan --config imagenet/cae_vit_b16

weights/dalle is to hold the encoder of OpenAI's dVAE, see imagenet/beit_vit_b16.
Reported: 70.3 linear, 77.2 attentive probe, 83.9 fine-tuned; not yet run by us.
Constants and sources: docs/methods.md#cae.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.beit(
        duration="1600 epochs",
        warmup="40 epochs",
        augment=dict(),
        encoder=dict(
            name="vit_b16", positions="sincos", layer_scale=0.1, drop_path=0.1, weight_init="beit"
        ),
        towers=dict(tokenizer=dict(name="dalle_encoder")),
        weights=dict(tokenizer=dict(path="weights/dalle")),
        objective=dict(name="cae", hidden=0.5, vocabulary=8192, tokenizer="dalle", weight=2.0),
        decoders=dict(
            regressor=dict(
                name="predictor", out=768, width=768, depth=4, heads=12, reads="both",
                embed=False, head="none", missing=True,
            ),
            words=dict(name="latent", width=768, depth=4, heads=12, input="regressor"),
        ),
    )  # fmt: skip
