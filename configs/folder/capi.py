r"""CAPI on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method capi
    m3i pretrain --config folder/capi --config.data.of.root=photos/

Crops as published, never small, and no colours.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import capi


def get_config():
    return recipes.on_folder(capi.get_config(), least=0.6)
