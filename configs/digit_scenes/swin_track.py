r"""A digit among others that move, followed by what it looked like in another frame.

m3i pretrain --config digit_scenes/swin_track --workdir runs/swin_track
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        image=64,
        batch=32,
        data=dict(name="moving_digits"),
        objective=dict(name="swin_track"),
        crops=dict(name="track", template=32),
        augment=dict(a=recipes.MILD, b=recipes.MILD),
        decoders=dict(tracking=dict(name="swin_track", width=64, depth=2, heads=4)),
        monitor=dict(every=0),
    )
