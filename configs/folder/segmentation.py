r"""Segmentation on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain --data segmentation_folder:root=photos --method segmentation
    m3i pretrain --config folder/segmentation --config.data.of.root=photos/

Images and masks lie in folders of their own (docs/data.md); `--config.objective.classes` says how
many categories there are. Views as in the recipe of digit scenes.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import segmentation


def get_config():
    config = segmentation.get_config()
    return recipes.on_folder(
        config, of=dict(recipes.PHOTOS, name="segmentation_folder"), least=0.7, **config.augment
    )
