r"""I-JEPA on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method ijepa
    m3i pretrain --config folder/ijepa --config.data.of.root=photos/

Crops as published, and no colours.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import ijepa


def get_config():
    return recipes.on_folder(ijepa.get_config(), least=0.3)
