r"""SimCLR, ResNet-50, ImageNet-1k, 1000 epochs (Chen et al. 2020).

    m3i plan --config imagenet/simclr_resnet50

The loss is the mean over both views, as in the paper; its code has their sum, which only what LARS
does not adapt notices, biases and norms. Reported: 69.3 linear; not yet run by us.
Constants and sources: docs/methods.md#simclr.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.large_batch(
        augment=dict(a=recipes.STRONG, b=recipes.STRONG),
        objective=dict(name="simclr", temperature=0.1),
        decoders=dict(
            projector=dict(recipes.MLP, hidden=2048, out=128, bias=False, norm_out="scale")
        ),
        optimizer=dict(recipes.LARS, base_lr=0.3, weight_decay=1e-6, rate_inside=True),
    )
