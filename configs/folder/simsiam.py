r"""SimSiam on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method simsiam
    m3i pretrain --config folder/simsiam --config.data.of.root=photos/

Views as published, which are MoCo v2's.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import simsiam


def get_config():
    return recipes.on_folder(simsiam.get_config(), least=0.2, **recipes.ALIKE)
