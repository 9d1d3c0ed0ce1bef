r"""CAPI on the embedded digit scenes: clusters of hidden patches.

m3i pretrain --config digit_scenes/capi --workdir runs/capi
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        encoder=dict(recipes.FINE_VIT, class_token=False),
        objective=dict(name="capi", hidden=0.65, asked=0.2),
        target=dict(name="ema", momentum=0.98, end=1.0),
        augment=dict(),
        decoders=dict(
            clusters=dict(name="clusters", out=64),
            image=dict(
                name="predictor", width=64, depth=2, heads=4, reads="context", head="prototypes"
            ),
        ),
    )
