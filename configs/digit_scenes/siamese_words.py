r"""SiameseIM with BEiT's target on the embedded digit scenes: the visual tokens of another view.

    m3i pretrain --config digit_scenes/siamese_words \
        --workdir runs/siamese_words

Needs a tokenizer: m3i train_tokenizer --workdir runs/tokenizer
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.with_tokenizer(
        objective=dict(name="siamese_words", hidden=0.5, vocabulary=256),
        decoders=dict(image=recipes.QUERY),
    )
