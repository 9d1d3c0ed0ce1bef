r"""BEiT v2 on the embedded digit scenes: visual tokens, asked of the class token, too.

    m3i pretrain --config digit_scenes/beit_v2 --workdir runs/beit_v2

Needs a tokenizer: m3i train_tokenizer --workdir runs/tokenizer
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.with_tokenizer(
        encoder=dict(recipes.SMALL_VIT, hide="mask", final_norm=False),
        objective=dict(name="beit_v2", hidden=0.4, vocabulary=256),
        decoders=dict(
            words=dict(name="linear", norm_in=True),
            class_branch=dict(name="class_branch", layer=3, depth=2, heads=4),
        ),
        optimizer=dict(recipes.SMALL_ADAMW, no_decay=recipes.WITHOUT_CLASS),
    )
