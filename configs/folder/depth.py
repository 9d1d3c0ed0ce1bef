r"""Depth on a folder of images: where `m3i pretrain FOLDER` begins.

    m3i pretrain --data depth_list:root=photos --method depth
    m3i pretrain --config folder/depth --config.data.of.root=photos/

Images and depths lie in folders of their own (docs/data.md). Views keep the scale of the images.
"""

from m3i_jax.configs import recipes
from m3i_jax.configs.digit_scenes import depth


def get_config():
    config = depth.get_config()
    found = recipes.on_folder(
        config, of=dict(recipes.PHOTOS, name="depth_list"), least=1.0, **config.augment
    )
    found.crops.update(name="scale_jitter", base=(64, 64))  # which resizes to 64 pixels first
    return found
