r"""SupCon on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method supcon
    m3i pretrain --config folder/supcon --config.data.of.root=photos/

Crops as published. Positives of an image are those of its folder.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import supcon


def get_config():
    return recipes.on_folder(supcon.get_config(), least=0.08)
