r"""LeJEPA on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method lejepa
    m3i pretrain --config folder/lejepa --config.data.of.root=photos/

Views as published, all of them disturbed alike.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import lejepa

COLOURS = dict(blur=0.5, solarize=0.2)


def get_config():
    return recipes.on_folder(lejepa.get_config(), least=0.3, a=COLOURS, b=COLOURS, local=COLOURS)
