r"""Digits of scenes of several, found by queries: what each is, and where.

m3i pretrain --config digit_scenes/dino_detector --workdir runs/dino_detector
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.digit_scenes(
        image=64,
        batch=16,
        data=dict(name="digit_scenes", objects=4, size=64, digit=(0.2, 0.45)),
        objective=dict(name="dino_detector", classes=10, blocks="last"),
        crops=dict(
            name="scale_jitter", base=(64, 64), scale=(0.8, 1.25), flip=0.0, most=1.0, objects=8
        ),
        augment=dict(a=recipes.MILD),
        # Of the cells of 8 pixels maps are made; queries are of those of 4 to 32: 256, 64, 16, 4.
        decoders=dict(
            detection=dict(
                name="dino_detector", pyramid="simple", width=64, queries=30, layers=2,
                encoder_layers=2, heads=4, hidden=256, groups=2, found=20,
            )
        ),
        monitor=dict(every=0),
    )  # fmt: skip
