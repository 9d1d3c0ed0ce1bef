r"""CapPa on the embedded digit scenes and their captions.

python experiments/pretrain.py --config configs/digit_scenes/cappa.py --workdir runs/cappa
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
