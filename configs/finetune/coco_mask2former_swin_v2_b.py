r"""Masks of COCO's objects by SwinV2-B and Mask2Former, 368 750 steps at batch 16.

    m3i plan --config finetune/coco_mask2former_swin_v2_b
    m3i pretrain --config finetune/coco_mask2former_swin_v2_b \
        --config.init_from.path=runs/simmim_swin_v2_b --workdir runs/simmim_swin_v2_b_objects

Mask2Former's recipe of the first Swin-B, by the second; nobody has published that, nor have we run
it. Constants and sources: docs/methods.md#mask2former.
"""

from m3i_jax.configs import recipes

STEPS = 368_750


def get_config():
    return recipes.dense(
        "runs/simmim_swin_v2_b",
        ignore=recipes.OTHER_WINDOWS + "|/norm/|final_norm",
        image=1024,
        batch=16,
        duration=f"{STEPS} steps",
        warmup="0 steps",
        data=dict(name="objects", root="data/coco"),
        crops=dict(recipes.LARGE_JITTER, outlines=112),  # masks are compared at 12 544 points
        augment={},
        # Maps are read behind blocks, the last one too.
        encoder=dict(recipes.SWIN, window=12, drop_path=0.3, final_norm=False),
        objective=dict(name="mask2former", classes=80, blocks="stages", finds="objects"),
        decoders=dict(segmentation=dict(name="mask2former", finds="objects")),
        optimizer=dict(
            recipes.DENSE_ADAMW, lr=1e-4, clip=0.01, lr_scale=((r"^encoders/image/", 0.1),),
            no_decay=recipes.MASK2FORMER_NO_DECAY,
            schedule=dict(name="milestones", milestones=(327_778 / STEPS, 355_092 / STEPS)),
        ),
    )  # fmt: skip
