r"""Barlow Twins on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method barlow_twins
    m3i pretrain --config folder/barlow_twins --config.data.of.root=photos/

Views as published, which are BYOL's.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import barlow_twins


def get_config():
    return recipes.on_folder(barlow_twins.get_config(), least=0.08, **recipes.UNLIKE)
