r"""Boxes of COCO by ResNet-50 and DINO, the detector, 12 epochs at batch 16 (4 scales).

    m3i plan --config finetune/coco_dino_resnet50
    m3i pretrain --config finetune/coco_dino_resnet50 \
        --config.init_from.path=runs/classification_resnet50 --workdir runs/coco_dino_resnet50

Images are squares of one size with a factor drawn anew, where the published recipe draws their
short side of 480 to 800 pixels, and cuts half of them first. Not run by us.
Constants and sources: docs/methods.md#dino_detector.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.dense(
        "runs/classification_resnet50",
        ignore="",
        image=800,
        batch=16,
        duration="12 epochs",
        epoch_size=118_287,
        warmup="0 steps",
        data=dict(name="objects", root="data/coco", empty=True),
        crops=dict(
            name="scale_jitter", base=(800, 800), scale=(0.6, 1.0), most=1.0, diagonal=True,
            flip=0.5, objects=100,
        ),
        augment={},
        encoder=recipes.RESNET,
        objective=dict(name="dino_detector", classes=80),
        decoders=dict(detection=dict(name="dino_detector")),
        optimizer=dict(
            name="adamw", lr=1e-4, b2=0.999, weight_decay=1e-4, clip=0.1,
            lr_scale=((r"^encoders/image/", 0.1),), no_decay=recipes.NOTHING,
            schedule=dict(name="milestones", milestones=(11 / 12,)),
        ),
    )  # fmt: skip
