r"""data2vec on the embedded digit scenes: the last layers of the moving average.

    m3i pretrain --config digit_scenes/data2vec \
        --workdir runs/data2vec
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        encoder=dict(recipes.SMALL_VIT, hide="mask"),
        objective=dict(name="data2vec", hidden=0.6, layers=2),
        target=dict(name="ema", momentum=0.99, end=0.999),
        decoders=dict(dense=dict(name="linear")),
        optimizer=dict(recipes.SMALL_ADAMW, no_decay=recipes.WITHOUT_CLASS),
    )
