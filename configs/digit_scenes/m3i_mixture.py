r"""M3I on a mixture: scenes with their digits and no captions, others with captions and no digits.

    m3i pretrain --config digit_scenes/m3i_mixture \
        --workdir runs/m3i_mixture

Three samples of four have a caption, as most of M3I's own data do (docs/data.md#mixtures); not run
to its end by us.
"""

from m3i_jax.configs import recipes


def get_config():
    scenes = dict(name="digit_scenes", length=10_000)
    return recipes.digit_scenes(
        data=dict(
            name="mixture",
            of=dict(
                labelled=dict(scenes, seed=0, without="captions", weight=1.0),
                captioned=dict(scenes, seed=1, without="labels", weight=3.0),
            ),
            evaluate_on="labelled",
        ),
        objective=dict(recipes.M3I, text_weight=0.1),
        target=dict(name="ema", end=0.995),
        weighting=dict(name="gradient_norm", gamma=5.0, decay=0.99),
        captions=dict(vocabulary=512, length=16),
        towers=dict(category=dict(name="table", size=10, width=128), text=recipes.TEXT),
        decoders=dict(
            image=dict(name="query", width=64, depth=1, heads=4),
            category=dict(name="attention_pool", heads=4),
            text=dict(name="attention_pool", heads=4, logit_scale=True),
        ),
    )
