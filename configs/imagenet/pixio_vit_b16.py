r"""Pixio, ViT-B/16, 256 pixels, ImageNet-1k, 100 epochs (Yang et al. 2025).

    m3i plan --config imagenet/pixio_vit_b16

The recipe is that of another library's benchmark, but for seven of its eight class tokens; not yet
run by us.
Constants and sources: docs/methods.md#pixio.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.imagenet(
        image=256,
        batch=256,
        duration="100 epochs",
        warmup="40 epochs",
        crops=dict(scale=(0.2, 1.0), flip=0.5),
        augment=dict(),
        encoder=dict(name="vit_b16", positions="sincos"),
        objective=dict(name="pixio", hidden=0.75, unit=4),
        target=dict(name="pixels", normalization="patch"),
        decoders=dict(image=dict(name="infill", width=512, depth=32, heads=16)),
        optimizer=dict(name="adamw", base_lr=1.5e-4, b2=0.95, weight_decay=0.05),
    )
