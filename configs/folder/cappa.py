r"""CapPa on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method cappa
    m3i pretrain --config folder/cappa --config.data.of.root=photos/

All of every image, so that no word of its caption is cut away, and no colours. Captions are
NAME.txt beside NAME.jpg.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import cappa


def get_config():
    return recipes.on_folder(cappa.get_config(), least=1.0)
