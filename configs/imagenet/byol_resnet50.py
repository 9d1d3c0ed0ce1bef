r"""BYOL, ResNet-50, ImageNet-1k, 1000 epochs (Grill et al. 2020).

    m3i plan --config imagenet/byol_resnet50

Reported: 74.3 linear; not yet run by us.
Constants and sources: docs/methods.md#byol.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.large_batch(
        objective=dict(name="byol"),
        target=dict(name="ema", heads="projector", momentum=0.996, end=1.0),
        decoders=dict(
            projector=dict(recipes.MLP, hidden=4096, out=256, last_bias=False),
            predictor=dict(recipes.PREDICTOR, hidden=4096, last_bias=False),
        ),
        optimizer=dict(recipes.LARS, base_lr=0.2, weight_decay=1.5e-6),
    )
