r"""Barlow Twins, ResNet-50, ImageNet-1k, 1000 epochs (Zbontar et al. 2021).

    m3i plan --config imagenet/barlow_twins_resnet50

Reported: 73.2 linear; not yet run by us.
Constants and sources: docs/methods.md#barlow_twins.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.large_batch(
        batch=2048,
        objective=dict(name="barlow_twins", off_diagonal=0.0051),
        decoders=dict(projector=dict(recipes.MLP, layers=3, hidden=8192, out=8192, bias=False)),
        optimizer=dict(
            recipes.LARS, base_lr=0.2, end_lr=1.6e-3, weight_decay=1e-6,
            lr_scale=((recipes.ONE_DIMENSIONAL, 0.0048 / 0.2),),
        ),
    )  # fmt: skip
