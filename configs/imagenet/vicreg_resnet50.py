r"""VICReg, ResNet-50, ImageNet-1k, 1000 epochs (Bardes et al. 2022).

    m3i plan --config imagenet/vicreg_resnet50

Reported: 73.2 linear; not yet run by us.
Constants and sources: docs/methods.md#vicreg.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.large_batch(
        batch=2048,
        objective=dict(name="vicreg", invariance=25.0, variance=25.0, covariance=1.0),
        decoders=dict(
            projector=dict(recipes.MLP, layers=3, hidden=8192, out=8192, last_bias=False)
        ),
        optimizer=dict(recipes.LARS, base_lr=0.2, end_lr=1.6e-3, weight_decay=1e-6),
    )
