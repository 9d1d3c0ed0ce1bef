r"""Key points on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain --data keypoints:root=photos --method pose
    m3i pretrain --config folder/pose --config.data.of.root=photos/

People as COCO has them (docs/data.md); `--config.objective.points` says how many points one has.
Views as in the recipe of digit scenes.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import pose


def get_config():
    config = pose.get_config()
    return recipes.on_folder(
        config, of=dict(recipes.PHOTOS, name="keypoints"), least=0.7, **config.augment
    )
