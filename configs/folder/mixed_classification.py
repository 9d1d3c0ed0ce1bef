r"""Classification of mixed images on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method mixed_classification
    m3i pretrain --config folder/mixed_classification --config.data.of.root=photos/

Views as published: each image grey, solarized or blurred, one of the three. It learns from folders
as classes: `--config.towers.category.size` says how many there are.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import mixed_classification

# DeiT III's three-augment.
COLOURS = dict(
    brightness=0.3, contrast=0.3, saturation=0.3, hue=0.0, jitter=1.0, grayscale=1 / 3,
    solarize=1 / 3, blur=1 / 3, exclusive=True,
)  # fmt: skip


def get_config():
    return recipes.on_folder(mixed_classification.get_config(), least=0.08, a=COLOURS)
