r"""DINOv2 on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method dinov2
    m3i pretrain --config folder/dinov2 --config.data.of.root=photos/

Views as published, without small ones.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import dinov2


def get_config():
    return recipes.on_folder(
        dinov2.get_config(), least=0.32, a=recipes.INPUT_VIEW, b=recipes.TARGET_VIEW
    )
