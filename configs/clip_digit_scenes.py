r"""CLIP on the embedded digit scenes and their captions.

python experiments/pretrain.py --config configs/clip_digit_scenes.py --workdir runs/clip
"""

import recipes


def get_config():
    return recipes.with_captions(
        objective=dict(name="clip", hidden=0.0),
        decoders=dict(text=dict(name="linear", pool="class", bias=False, logit_scale=True)),
        optimizer=dict(recipes.SMALL_ADAMW, limits=recipes.TEMPERATURE),
    )
