r"""Digits of scenes of several, found by their boxes: what each is, and where.

m3i pretrain --config digit_scenes/detection --workdir runs/detection
"""

from m3i_jax.configs import recipes


def get_config(masks="boxes"):
    """masks: "masks", where each digit is in its box, too."""
    outlined = {"boxes": False, "masks": True}[masks]
    return recipes.digit_scenes(
        image=64,
        batch=16,
        data=dict(name="digit_scenes", objects=4, size=64, digit=(0.2, 0.45)),
        objective=dict(name="mask_rcnn", classes=10, masks=outlined),
        crops=dict(
            name="scale_jitter", base=(64, 64), scale=(0.8, 1.25), flip=0.0, most=1.0, objects=8
        ),
        augment=dict(a=recipes.MILD),
        # A pyramid of cells of 2 to 16 pixels, and anchors of 16 on its finest map.
        decoders=dict(
            detection=dict(
                name="mask_rcnn", masks=outlined, width=64, box_layers=1, mask_layers=2, hidden=256,
                anchors=128, level_proposals=(200, 100), proposals=100, regions=64,
                canonical=112.0, found=20, candidates=200,
            )
        ),
        monitor=dict(every=0),
    )  # fmt: skip
