r"""MoCo v3 and labels at once, balanced by the norms of their gradients (M3I Eq. 4 and 13).

    m3i pretrain --config digit_scenes/moco_v3_classification \
        --workdir runs/moco_v3_classification
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        objective=dict(
            name="combine",
            methods=dict(
                moco=dict(
                    name="moco_v3",
                    target=dict(name="ema", heads="projector", momentum=0.98, end=1.0),
                ),
                supervised=dict(name="classification"),
            ),
        ),
        weighting=dict(
            name="gradient_norm", gamma=1.0, decay=0.99, reference="moco", balanced="supervised"
        ),
        towers=dict(category=dict(name="table", size=10, width=128)),
        decoders=dict(
            projector=recipes.MLP,
            predictor=recipes.PREDICTOR,
            category=dict(name="attention_pool", heads=4),
        ),
    )
