r"""DINOv2 with Gram anchoring on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method dinov3
    m3i pretrain --config folder/dinov3 --config.data.of.root=photos/

Views as in the recipe of digit scenes.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import dinov3


def get_config():
    config = dinov3.get_config()
    return recipes.on_folder(config, least=0.7, **config.augment)
