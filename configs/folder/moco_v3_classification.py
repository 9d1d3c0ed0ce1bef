r"""MoCo v3 and classification on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method moco_v3_classification
    m3i pretrain --config folder/moco_v3_classification --config.data.of.root=photos/

Views as in the recipe of digit scenes. It learns from folders as classes:
`--config.towers.category.size` says how many there are.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import moco_v3_classification


def get_config():
    config = moco_v3_classification.get_config()
    return recipes.on_folder(config, least=0.7, **config.augment)
