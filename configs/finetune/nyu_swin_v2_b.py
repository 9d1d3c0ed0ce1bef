r"""Depth of NYU v2 by SwinV2-B, 25 epochs at batch 24 (Dark Secrets, supplement F, and its code).

    m3i plan --config finetune/nyu_swin_v2_b
    m3i pretrain --config finetune/nyu_swin_v2_b \
        --config.init_from.path=runs/simmim_swin_v2_b --workdir runs/simmim_swin_v2_b_nyu

Reported: RMSE 0.304 (README of its code); not run by us.
Constants and sources: docs/methods.md#depth.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.depth(
        "runs/simmim_swin_v2_b",
        image=480,
        epoch_size=24_231,
        data=dict(root="data/nyu"),
        crops={},
        # Windows of a quarter, half and all of a side, which shift where there are several.
        encoder=dict(window=(30, 30, 30, 15), shift=(True, True, False, False)),
        max_depth=10.0,
    )
