r"""BEiT on the embedded digit scenes: the visual tokens of hidden patches.

    python experiments/pretrain.py --config configs/digit_scenes/beit.py --workdir runs/beit

Needs a tokenizer: python experiments/train_tokenizer.py --workdir runs/tokenizer
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.with_tokenizer(
        encoder=dict(recipes.SMALL_VIT, hide="mask"),
        objective=dict(name="beit", hidden=0.4, vocabulary=256),
        decoders=dict(words=dict(name="linear")),
        optimizer=dict(recipes.SMALL_ADAMW, no_decay=recipes.WITHOUT_CLASS),
    )
