r"""MAE on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method mae
    m3i pretrain --config folder/mae --config.data.of.root=photos/

Crops as published, and no colours.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import mae


def get_config():
    return recipes.on_folder(mae.get_config(), least=0.2)
