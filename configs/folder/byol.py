r"""BYOL on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method byol
    m3i pretrain --config folder/byol --config.data.of.root=photos/

Views as published: the target is disturbed little, the input much.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import byol


def get_config():
    return recipes.on_folder(byol.get_config(), least=0.08, **recipes.UNLIKE)
