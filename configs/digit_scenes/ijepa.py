r"""I-JEPA on the embedded digit scenes: blocks of features of the moving average.

m3i pretrain --config digit_scenes/ijepa --workdir runs/ijepa
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        encoder=dict(recipes.FINE_VIT, class_token=False),
        objective=dict(name="ijepa", hidden=0.75, blocks=4),
        target=dict(name="ema", momentum=0.98, end=1.0, schedule="linear"),
        augment=dict(),
        decoders=dict(image=dict(name="predictor", width=64, depth=2, heads=4)),
    )
