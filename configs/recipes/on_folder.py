"""Runs on a folder of images: what the rules of `m3i pretrain FOLDER` begin with.

The rules give it the sizes, batch, rates and crops that images and machine ask for; by hand a run
is as it stands here: a small ViT, 64 pixels, 1000 steps.
"""

from ml_collections import ConfigDict

from m3i_jax.configs.recipes.parts import BLURRED, INPUT_VIEW, TARGET_VIEW, run

PHOTOS = dict(name="image_folder", root="photos")
# Views as BYOL has them: the target is disturbed little, the input much.
UNLIKE = dict(a=TARGET_VIEW, b=INPUT_VIEW)
# And as MoCo v2 has them, both alike.
ALIKE = dict(a=BLURRED, b=BLURRED)


def on_folder(config: ConfigDict, *, least: float, of=PHOTOS, **augment) -> ConfigDict:
    """A recipe of digit scenes with a folder in their place; objective, heads and rates stay.

    least: share of an image that a view shows at least.  of: block of the images.
    augment: colours of the views by their names, of those that have any.
    """
    crops = dict(scale=(least, 1.0), flip=0.5)
    if "local_size" in config.crops:
        # Half a view, as 96 of 224 pixels; a tenth of an image and not DINO's twentieth, as 64
        # pixels show no more of it.
        crops.update(local_size=32, local_scale=(0.1, least))
    blocks = config.to_dict()
    blocks.update(
        # The least that colours and blur of photographs are meant for: below, SimCLR has no blur.
        image=64,
        unreadable=0.5,  # of a folder that nobody has cleaned; what is left out is named
        # A folder has seldom a test split, so that monitors look at a part of its training images.
        data=dict(name="held_out", of=of, share=0.1),
        crops=crops,
        augment=augment,
        encoder=dict(blocks["encoder"], patch=8),
        log=dict(every=10, images=0),
        monitor=dict(every=100, bank=1000, queries=500, k=20, most=0.05),
    )
    return run(**blocks)
