r"""Boxes and masks of COCO by SwinV2-B and Mask R-CNN, 36 epochs (Dark Secrets, supplement F).

    m3i plan --config finetune/coco_swin_v2_b
    m3i plan --config finetune/coco_swin_v2_b:sup
    m3i pretrain --config finetune/coco_swin_v2_b \
        --config.init_from.path=runs/simmim_swin_v2_b --workdir runs/simmim_swin_v2_b_coco

Warm-up, milestones and the head are those of Swin's own recipe, which the paper leaves open.
Reported: 52.9 AP of boxes and 46.7 of masks, 51.9 and 45.7 after labels; not run by us.
Constants and sources: docs/methods.md#mask_rcnn.
"""

from m3i_jax.configs import recipes

# Where from, rate, drop path.
TABLE = {"mim": ("runs/simmim_swin_v2_b", 8e-5, 0.1), "sup": ("runs/swin_v2_b", 6e-5, 0.3)}


def get_config(before="mim"):
    path, rate, drop_path = TABLE[before]
    return recipes.dense(
        path,
        ignore=recipes.OTHER_WINDOWS + "|/norm/|final_norm",
        image=1024,
        batch=32,
        duration="36 epochs",
        epoch_size=117_266,  # images with an object that is no crowd
        warmup="500 steps",
        data=dict(name="objects", root="data/coco"),
        crops=recipes.LARGE_JITTER,
        augment={},
        # Maps are read behind blocks, the last one too.
        encoder=dict(recipes.SWIN, window=14, drop_path=drop_path, final_norm=False),
        objective=dict(name="mask_rcnn", classes=80, blocks="stages"),
        decoders=dict(
            detection=dict(
                name="mask_rcnn", pyramid="fpn", norm="none", proposal_layers=1, box_layers=0,
                products=2,
            )
        ),
        optimizer=dict(
            recipes.DENSE_ADAMW, lr=rate, no_decay=recipes.SWIN_NO_DECAY,
            schedule=dict(name="milestones", milestones=(27 / 36, 33 / 36), start=rate * 1e-3),
        ),
    )  # fmt: skip
