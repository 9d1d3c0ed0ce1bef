r"""iBOT on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method ibot
    m3i pretrain --config folder/ibot --config.data.of.root=photos/

Views as published, without small ones.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import ibot


def get_config():
    return recipes.on_folder(
        ibot.get_config(), least=0.25, a=recipes.INPUT_VIEW, b=recipes.TARGET_VIEW
    )
