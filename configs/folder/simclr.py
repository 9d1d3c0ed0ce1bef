r"""SimCLR on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method simclr
    m3i pretrain --config folder/simclr --config.data.of.root=photos/

Views as published, strong: else colours alone say which image it is.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import simclr


def get_config():
    return recipes.on_folder(simclr.get_config(), least=0.08, a=recipes.STRONG, b=recipes.STRONG)
