r"""MoCo v2 on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method moco
    m3i pretrain --config folder/moco --config.data.of.root=photos/

Views as published.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import moco


def get_config():
    return recipes.on_folder(moco.get_config(), least=0.2, **recipes.ALIKE)
