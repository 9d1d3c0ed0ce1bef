r"""SigLIP on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method siglip
    m3i pretrain --config folder/siglip --config.data.of.root=photos/

Half of an image or more, as its caption says all of it, and no colours. Captions are NAME.txt
beside NAME.jpg.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import siglip


def get_config():
    return recipes.on_folder(siglip.get_config(), least=0.5)
