r"""Key points of COCO by SwinV2-B, 150 epochs at batch 512 (Dark Secrets, supplement F).

    m3i plan --config finetune/coco_pose_swin_v2_b
    m3i pretrain --config finetune/coco_pose_swin_v2_b \
        --config.init_from.path=runs/simmim_swin_v2_b --workdir runs/simmim_swin_v2_b_coco_pose

The paper's grid dropout is left out; it gives no windows, warm-up, or share of other colours.
Layers count as in the code of its depth. Not run by us.
Constants and sources: docs/methods.md#pose.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.people(
        "runs/simmim_swin_v2_b",
        epoch_size=149_813,  # people with a labelled key point
        data=dict(root="data/coco"),
        points=17,
    )
