r"""NNCLR on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method nnclr
    m3i pretrain --config folder/nnclr --config.data.of.root=photos/

Views as published, which are BYOL's.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import nnclr


def get_config():
    return recipes.on_folder(nnclr.get_config(), least=0.08, **recipes.UNLIKE)
