r"""MILAN on the embedded digit scenes, from a supervised teacher.

    m3i pretrain --config digit_scenes/milan --workdir runs/milan

The teacher is the run of `digit_scenes/classification.py` in runs/classification; it has no
projection, unlike CLIP.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.with_teacher(
        objective=dict(name="milan", hidden=0.75),
        target=dict(name="frozen", tower="teacher", class_token=True),
        decoders=dict(image=dict(name="prompt", width=128, depth=2, heads=4, class_token=True)),
    )
