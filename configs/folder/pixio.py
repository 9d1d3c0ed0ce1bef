r"""Pixio on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method pixio
    m3i pretrain --config folder/pixio --config.data.of.root=photos/

Crops as published, and no colours.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import pixio


def get_config():
    return recipes.on_folder(pixio.get_config(), least=0.2)
