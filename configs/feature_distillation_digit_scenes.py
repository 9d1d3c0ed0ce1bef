r"""Feature distillation (FD) on the embedded digit scenes, from a supervised teacher.

    python experiments/pretrain.py --config configs/feature_distillation_digit_scenes.py \
        --workdir runs/feature_distillation

The teacher is the run of `classification_digit_scenes.py` in runs/classification.
"""

import recipes


def get_config():
    return recipes.with_teacher(
        objective=dict(name="feature_distillation"),
        decoders=dict(dense=dict(name="linear", pool="all")),
        optimizer=dict(recipes.SMALL_ADAMW, no_decay=recipes.WITHOUT_CLASS),
    )
