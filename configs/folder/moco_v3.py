r"""MoCo v3 on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method moco_v3
    m3i pretrain --config folder/moco_v3 --config.data.of.root=photos/

Views as published, which are BYOL's.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import moco_v3


def get_config():
    return recipes.on_folder(moco_v3.get_config(), least=0.08, **recipes.UNLIKE)
