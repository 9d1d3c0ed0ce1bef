r"""Feature distillation (FD) on the embedded digit scenes, from a supervised teacher.

    m3i pretrain --config digit_scenes/feature_distillation \
        --workdir runs/feature_distillation

The teacher is the run of `digit_scenes/classification.py` in runs/classification.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.with_teacher(
        objective=dict(name="feature_distillation"),
        decoders=dict(dense=dict(name="linear", pool="all")),
        optimizer=dict(recipes.SMALL_ADAMW, no_decay=recipes.WITHOUT_CLASS),
    )
