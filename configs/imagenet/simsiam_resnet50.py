r"""SimSiam, ResNet-50, ImageNet-1k, 100 epochs (Chen & He 2021).

    m3i plan --config imagenet/simsiam_resnet50

The rate falls with every epoch, that of the predictor never; all that trains decays, norms, too.
Reported: 68.1 linear; not yet run by us.
Constants and sources: docs/methods.md#simsiam.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.moco_v2(
        batch=512,
        duration="100 epochs",
        encoder=dict(recipes.RESNET, zero_init=True),
        objective=dict(name="simsiam"),
        decoders=dict(
            projector=dict(
                recipes.MLP, layers=3, hidden=2048, out=2048, bias=False, norm_out=True
            ),
            predictor=dict(recipes.PREDICTOR, hidden=512, bias=False, last_bias=True),
        ),
        optimizer=dict(
            name="sgd", base_lr=0.05, schedule=dict(name="cosine", stairs=100), momentum=0.9,
            weight_decay=1e-4, no_decay=recipes.NOTHING, steady="^decoders/predictor/",
        ),
    )  # fmt: skip
