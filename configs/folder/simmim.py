r"""SimMIM on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method simmim
    m3i pretrain --config folder/simmim --config.data.of.root=photos/

Crops as published, and no colours.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import simmim


def get_config():
    return recipes.on_folder(simmim.get_config(), least=0.67)
