r"""DenseCL on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method densecl
    m3i pretrain --config folder/densecl --config.data.of.root=photos/

Views as published, which are MoCo v2's.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import densecl


def get_config():
    return recipes.on_folder(densecl.get_config(), least=0.2, **recipes.ALIKE)
