r"""MaskFeat on the embedded digit scenes: histograms of gradients by a linear layer.

m3i pretrain --config digit_scenes/maskfeat --workdir runs/maskfeat
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        encoder=dict(recipes.SMALL_VIT, hide="mask"),
        objective=dict(name="maskfeat", hidden=0.4),
        target=dict(name="hog", cell=4),
        augment=dict(),
        decoders=dict(edges=dict(name="linear")),
    )
