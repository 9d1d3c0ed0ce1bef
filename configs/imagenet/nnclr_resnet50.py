r"""NNCLR, ResNet-50, ImageNet-1k, 1000 epochs (Dwibedi et al. 2021).

    m3i plan --config imagenet/nnclr_resnet50

Reported: 75.4 linear; not yet run by us.
Constants and sources: docs/methods.md#nnclr.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.large_batch(
        objective=dict(name="nnclr", temperature=0.1, size=98304),
        decoders=dict(
            projector=dict(recipes.MLP, layers=3, hidden=2048, out=256, norm_out=True),
            predictor=dict(recipes.PREDICTOR, hidden=4096),
        ),
        optimizer=dict(recipes.LARS, base_lr=0.3, weight_decay=1e-6),
    )
