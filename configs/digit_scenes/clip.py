r"""CLIP on the embedded digit scenes and their captions.

m3i pretrain --config digit_scenes/clip --workdir runs/clip
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.with_captions(
        objective=dict(name="clip", hidden=0.0),
        decoders=dict(text=dict(name="linear", pool="class", bias=False, logit_scale=True)),
        optimizer=dict(recipes.SMALL_ADAMW, limits=recipes.TEMPERATURE),
    )
