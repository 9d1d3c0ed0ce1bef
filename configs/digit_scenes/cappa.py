r"""CapPa on the embedded digit scenes and their captions.

m3i pretrain --config digit_scenes/cappa --workdir runs/cappa
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        captions=dict(vocabulary=512, length=16),
        objective=dict(name="cappa", words=512),
        augment=dict(),
        decoders=dict(
            caption=dict(name="caption", width=64, depth=1, heads=2, length=16, parallel=0.75)
        ),
    )
