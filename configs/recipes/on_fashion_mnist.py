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


# The encoder of all methods in one comparison: 6 x 6 cells.
NARROW_VIT = dict(patch=4, width=64, heads=4)


def on_garments(config: ConfigDict) -> ConfigDict:
    """A recipe of digit scenes with garments in their place, and a ViT half as wide.

    Objective, heads and rates stay. What is as wide as the encoder, 128, follows it; a ViT keeps
    what is its own, such as mask tokens or a depth. Views that were disturbed are so in grey.
    """
    crops = dict(scale=(0.3, 1.0), flip=0.5)
    if "local_size" in config.crops:
        crops.update(local_size=12, local_scale=(0.1, 0.3))
    blocks = config.to_dict()
    blocks.update(
        image=24,
        data=dict(name="fashion_mnist", captions=bool(config.captions)),
        crops=crops,
        augment={view: GREY for view in config.augment},
        encoder=_narrow(config.encoder),
        towers={name: _narrow(block) for name, block in config.towers.items()},
        decoders={name: _narrow(block) for name, block in config.decoders.items()},
    )
    return run(**blocks)


def _narrow(block: ConfigDict) -> dict:
    """A tower or a decoder half as wide."""
    block = block.to_dict()
    if block["name"] == "vit_nano":
        return {**block, **NARROW_VIT}
    follows = ("width", "out") if block["name"] == "predictor" else ("width",)
    return {key: 64 if key in follows and x == 128 else x for key, x in block.items()}
