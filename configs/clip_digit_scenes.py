r"""CLIP on the embedded digit scenes and their captions.

python experiments/pretrain.py --config configs/clip_digit_scenes.py --workdir runs/clip
"""

import recipes


def get_config():
    return recipes.digit_scenes(
        objective=dict(name="clip", hidden=0.0),
        captions=dict(vocabulary=512, length=16),
        towers=dict(text=recipes.TEXT),
        decoders=dict(text=dict(name="linear", pool="class", bias=False, logit_scale=True)),
    )
