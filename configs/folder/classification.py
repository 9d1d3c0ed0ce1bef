r"""Supervised classification on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method classification
    m3i pretrain --config folder/classification --config.data.of.root=photos/

Views as in M3I's recipe. It learns from folders as classes: `--config.towers.category.size` says
how many there are.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import classification


def get_config():
    return recipes.on_folder(classification.get_config(), least=0.08, **recipes.UNLIKE)
