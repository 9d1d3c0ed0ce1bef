r"""DINO on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method dino
    m3i pretrain --config folder/dino --config.data.of.root=photos/

Views as published, two large ones and two small ones.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import dino


def get_config():
    return recipes.on_folder(dino.get_config(), least=0.25, **recipes.UNLIKE, local=dict(blur=0.5))
