r"""Supervised classification of mixed digit scenes (mixup and cutmix).

    m3i pretrain --config digit_scenes/mixed_classification \
        --workdir runs/mixed_classification
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        objective=dict(name="mixed_classification", mixup=0.8, cutmix=1.0, label_smoothing=0.1),
        towers=dict(category=dict(name="table", size=10, width=128)),
        decoders=dict(category=dict(name="attention_pool", heads=4)),
    )
