r"""VQ-VAE, ViT-B/16, ImageNet-1k: visual tokens that can be decoded, by VQ-KD's recipe.

    m3i plan --config imagenet/vq_vae_vit_b16

CIM's own tokens are DALL-E's; these are for a tokenizer of one's own images, by a recipe that no
paper has. Not run by us.
Constants and sources: docs/methods.md#vq_vae.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.imagenet(
        batch=512,
        duration="100 epochs",
        warmup="10 epochs",
        augment=dict(),
        encoder=dict(recipes.TOKENIZER_VIT),
        objective=dict(name="vq_vae"),
        decoders=dict(
            bottleneck=recipes.VQ_KD_BOTTLENECK,
            painter=dict(name="infill", width=768, depth=3, heads=12, input="bottleneck", out=768),
        ),
        optimizer=dict(
            name="adamw", lr=2e-4, b2=0.99, weight_decay=1e-4, no_decay=recipes.WITHOUT_CLASS
        ),
    )
