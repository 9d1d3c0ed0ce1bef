r"""MAE and CLIP at once, over one pass of the visible patches: several targets by config alone.

    m3i pretrain --config digit_scenes/mae_clip --workdir runs/mae_clip

The weight of CLIP rises while that of MAE falls.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.with_captions(
        objective=dict(
            name="combine",
            methods=dict(mae=dict(name="mae", hidden=0.5), clip=dict(name="clip", hidden=0.5)),
        ),
        weighting=dict(name="scheduled", groups=dict(mae=(1.0, 0.5), clip=(0.1, 0.5))),
        decoders=dict(
            image=dict(name="infill", width=128, depth=2, heads=4),
            text=dict(name="linear", pool="class", bias=False, logit_scale=True),
        ),
        optimizer=dict(recipes.SMALL_ADAMW, limits=recipes.TEMPERATURE),
    )
