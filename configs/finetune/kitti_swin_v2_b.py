r"""Depth of KITTI by SwinV2-B, 25 epochs at batch 24 (Dark Secrets, supplement F, and its code).

    m3i plan --config finetune/kitti_swin_v2_b
    m3i pretrain --config finetune/kitti_swin_v2_b \
        --config.init_from.path=runs/simmim_swin_v2_b --workdir runs/simmim_swin_v2_b_kitti

Reported: RMSE 2.050 (README of its code); not run by us.
Constants and sources: docs/methods.md#depth.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.depth(
        "runs/simmim_swin_v2_b",
        image=352,
        epoch_size=23_158,
        data=dict(root="data/kitti", factor=1 / 256),  # Eigen's split
        crops=dict(lower=(352, 1216)),
        encoder=dict(window=(22, 22, 22, 11), shift=(True, True, False, False)),
        max_depth=80.0,
    )
