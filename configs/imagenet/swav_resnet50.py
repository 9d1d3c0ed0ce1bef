r"""SwAV, ResNet-50, ImageNet-1k, 800 epochs, 6 small crops (Caron et al. 2020).

    m3i plan --config imagenet/swav_resnet50

Reported: 75.3 linear; not yet run by us.
Constants and sources: docs/methods.md#swav.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.large_batch(
        duration="800 epochs",
        encoder=recipes.RESNET,
        crops=dict(
            scale=(0.14, 1.0), flip=0.5, local_size=96, local_scale=(0.05, 0.14),
            interpolation="bilinear",
        ),
        augment=dict(a=recipes.STRONG, b=recipes.STRONG, local=recipes.STRONG),
        objective=dict(
            name="swav", local=6, temperature=0.1, epsilon=0.05, sinkhorn=3, size=0, since=0.0
        ),
        decoders=dict(
            projector=dict(recipes.MLP, hidden=2048, out=128, unit_norm=True),
            prototypes=dict(name="prototypes", out=3000, held=True, input="projector"),
        ),
        optimizer=dict(
            recipes.LARS, base_lr=0.3, end_lr=4.8e-3, weight_decay=1e-6,
            schedule=dict(recipes.CLOSED, start=0.3), no_decay=recipes.NOTHING,
            late=(("^decoders/prototypes/", 1 / 800),), unit="^decoders/prototypes/",
        ),
    )  # fmt: skip
