r"""Depth of the embedded digit scenes, which is known, as they are made of layers.

m3i pretrain --config digit_scenes/depth --workdir runs/depth
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        data=dict(name="digit_scenes", dense=True),
        objective=dict(name="depth"),
        # An object that is shown larger is no nearer: views keep the scale of the scenes.
        crops=dict(name="scale_jitter", base=(32, 32), scale=(1.0, 1.0), flip=0.5),
        augment=dict(a=recipes.MILD),
        decoders=dict(depth=dict(name="depth_deconvolutions", layers=1, hidden=32, width=64)),
    )
