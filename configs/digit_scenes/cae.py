r"""CAE on the embedded digit scenes: latents and visual tokens of hidden patches.

    m3i pretrain --config digit_scenes/cae --workdir runs/cae

Needs a tokenizer: m3i train_tokenizer --workdir runs/tokenizer
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.with_tokenizer(
        encoder=dict(recipes.SMALL_VIT, class_token=False),
        objective=dict(name="cae", hidden=0.5, vocabulary=256),
        augment=dict(),
        decoders=dict(
            regressor=dict(
                name="predictor", out=128, width=128, depth=1, heads=4, reads="both", embed=False,
                head="none", missing=True,
            ),
            words=dict(name="latent", width=128, depth=1, heads=4, input="regressor"),
        ),
    )  # fmt: skip
