r"""SwAV on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method swav
    m3i pretrain --config folder/swav --config.data.of.root=photos/

Views as published, which are SimCLR's, without small ones.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import swav


def get_config():
    return recipes.on_folder(swav.get_config(), least=0.14, a=recipes.STRONG, b=recipes.STRONG)
