r"""MAE and CLIP on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method mae_clip
    m3i pretrain --config folder/mae_clip --config.data.of.root=photos/

Views as in the recipe of digit scenes. Captions are NAME.txt beside NAME.jpg.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import mae_clip


def get_config():
    config = mae_clip.get_config()
    return recipes.on_folder(config, least=0.7, **config.augment)
