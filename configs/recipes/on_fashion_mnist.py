"""Small runs on garments, 60 000 grey pictures of 28 pixels: minutes on two cores."""

from ml_collections import ConfigDict

from m3i_jax.configs.recipes.on_digit_scenes import SMALL_VIT
from m3i_jax.configs.recipes.parts import SMALL_ADAMW, run

# Grey pictures have light and contrast, and no colours to change.
GREY = dict(
    brightness=0.4, contrast=0.4, saturation=0.0, hue=0.0, jitter=0.8, grayscale=0.0, blur=0.0
)


def fashion_mnist(**blocks) -> ConfigDict:
    """A small ViT on Fashion-MNIST, once through: minutes on two cores."""
    settings = dict(
        image=32,
        dtype="float32",
        batch=128,
        duration="1 epochs",
        epoch_size=60_000,
        warmup="50 steps",
        data=dict(name="fashion_mnist"),
        crops=dict(scale=(0.3, 1.0), flip=0.5),
        augment=dict(a=GREY, b=GREY),
        encoder=SMALL_VIT,
        average=dict(),  # with a momentum that fits the duration
        optimizer=SMALL_ADAMW,
        log=dict(every=10, images=250),
        checkpoint=dict(every=250, keep=2),
        monitor=dict(every=100, bank=2000, queries=1000),
    )
    return run(**{**settings, **blocks})
