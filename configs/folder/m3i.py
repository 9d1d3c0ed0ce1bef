r"""M3I on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method m3i
    m3i pretrain --config folder/m3i --config.data.of.root=photos/

Views as published. `:images` has the image terms alone; else folders are classes,
`--config.towers.category.size` of them, and captions are NAME.txt beside NAME.jpg.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import m3i


def get_config(argument=""):
    return recipes.on_folder(m3i.get_config(argument), least=0.08, **recipes.UNLIKE)
