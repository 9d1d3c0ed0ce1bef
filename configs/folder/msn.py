r"""MSN on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method msn
    m3i pretrain --config folder/msn --config.data.of.root=photos/

Views as published, two large ones and small ones.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import msn


def get_config():
    return recipes.on_folder(msn.get_config(), least=0.3, **recipes.ALIKE, local=recipes.BLURRED)
