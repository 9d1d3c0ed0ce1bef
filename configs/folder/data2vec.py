r"""data2vec on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain photos/ --method data2vec
    m3i pretrain --config folder/data2vec --config.data.of.root=photos/

Views as published: BEiT's colours, and no other view.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import data2vec

COLOURS = dict(
    brightness=0.4, contrast=0.4, saturation=0.4, hue=0.0, jitter=1.0, grayscale=0.0, blur=0.0
)


def get_config():
    return recipes.on_folder(data2vec.get_config(), least=0.08, a=COLOURS)
