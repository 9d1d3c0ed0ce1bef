r"""Segmentation of ADE20K by SwinV2-B and UPerNet, 80 000 steps (Dark Secrets, supplement F).

    m3i plan --config finetune/ade20k_swin_v2_b
    m3i plan --config finetune/ade20k_swin_v2_b:sup
    m3i pretrain --config finetune/ade20k_swin_v2_b \
        --config.init_from.path=runs/simmim_swin_v2_b --workdir runs/simmim_swin_v2_b_ade20k

Warm-up, its schedule and the head are those of Swin's own recipe, which the paper follows.
Reported: 49.3 mIoU, 50.9 after labels; not run by us.
Constants and sources: docs/methods.md#segmentation.
"""

from m3i_jax.configs import recipes

# Where from, rate, drop path.
TABLE = {"mim": ("runs/simmim_swin_v2_b", 1e-4, 0.1), "sup": ("runs/swin_v2_b", 8e-5, 0.3)}


def get_config(before="mim"):
    path, rate, drop_path = TABLE[before]
    return recipes.ade20k(
        path,
        ignore=recipes.OTHER_WINDOWS + "|/norm/|final_norm",
        image=640,
        batch=32,
        duration="80000 steps",
        crops=dict(name="scale_jitter", base=(2560, 640)),
        # Maps have norms of their own, and the last one is read behind its block.
        encoder=dict(recipes.SWIN, window=20, drop_path=drop_path, final_norm=False),
        objective=dict(name="segmentation", classes=150, blocks="stages", auxiliary=0.4),
        **recipes.upernet(norm_in=True),
        optimizer=dict(
            recipes.DENSE_ADAMW, lr=rate, schedule=dict(recipes.FACTOR, start=rate * 1e-6),
            layer_decay=0.95,
        ),
    )  # fmt: skip
