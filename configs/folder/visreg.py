r"""VISReg on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method visreg
    m3i pretrain --config folder/visreg --config.data.of.root=photos/

Views as published, LeJEPA's, all of them disturbed alike.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import visreg

COLOURS = dict(blur=0.5, solarize=0.2)


def get_config():
    return recipes.on_folder(visreg.get_config(), least=0.3, a=COLOURS, b=COLOURS, local=COLOURS)
