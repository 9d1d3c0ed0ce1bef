r"""The 12 forms of M3I's Table 2 on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method table2
    m3i pretrain --config folder/table2 --config.data.of.root=photos/

The form is a letter, `:k` the default. Views as in M3I's recipe.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import table2


def get_config(form="k"):
    return recipes.on_folder(table2.get_config(form), least=0.08, **recipes.UNLIKE)
