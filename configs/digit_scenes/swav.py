r"""SwAV on the embedded digit scenes, without small crops, with a queue.

m3i pretrain --config digit_scenes/swav --workdir runs/swav
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        objective=dict(
            name="swav", local=0, temperature=0.1, epsilon=0.05, sinkhorn=3, size=256, since=0.1
        ),
        decoders=dict(
            projector=dict(recipes.MLP, unit_norm=True),
            prototypes=dict(name="prototypes", out=64, held=True, input="projector"),
        ),
        optimizer=dict(recipes.SMALL_ADAMW, unit="^decoders/prototypes/"),
    )
