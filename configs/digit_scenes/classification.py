r"""Supervised classification of the embedded digit scenes.

m3i pretrain --config digit_scenes/classification --workdir runs/c
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        objective=dict(name="classification", label_smoothing=0.1),
        towers=dict(category=dict(name="table", size=10, width=128)),
        decoders=dict(category=dict(name="attention_pool", heads=4)),
    )
