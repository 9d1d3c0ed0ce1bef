"""Published recipes on YFCC-15M, images with texts."""

from ml_collections import ConfigDict

from m3i_jax.configs.recipes.on_imagenet import imagenet

YFCC = dict(epoch_size=15_000_000, data=dict(name="image_folder", root="data/yfcc15m"))


def images_with_texts(**blocks) -> ConfigDict:
    """SLIP's CLIP baseline but for its loss: ViT-B/16, YFCC-15M, 25 epochs."""
    settings = dict(
        duration="25 epochs",
        warmup="1 epochs",
        **YFCC,
        crops=dict(scale=(0.5, 1.0), flip=0.0, interpolation="bilinear"),
        augment=dict(),
        encoder=dict(name="vit_b16", positions="learned"),
        captions=dict(vocabulary=49408, length=77),
        towers=dict(text=dict(name="clip_text", vocabulary=49408, length=77, unit_norm=True)),
    )
    return imagenet(**{**settings, **blocks})
