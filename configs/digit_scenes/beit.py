r"""BEiT on the embedded digit scenes: the visual tokens of hidden patches.

    m3i pretrain --config digit_scenes/beit --workdir runs/beit

Needs a tokenizer: m3i train_tokenizer --workdir runs/tokenizer
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.with_tokenizer(
        encoder=dict(recipes.SMALL_VIT, hide="mask"),
        objective=dict(name="beit", hidden=0.4, vocabulary=256),
        decoders=dict(words=dict(name="linear")),
        optimizer=dict(recipes.SMALL_ADAMW, no_decay=recipes.WITHOUT_CLASS),
    )
