r"""Segmentation of ADE20K by SwinV2-B and Mask2Former, 160 000 steps (Dark Secrets, supplement F).

    m3i plan --config finetune/ade20k_mask2former_swin_v2_b
    m3i plan --config finetune/ade20k_mask2former_swin_v2_b:sup
    m3i pretrain --config finetune/ade20k_mask2former_swin_v2_b \
        --config.init_from.path=runs/simmim_swin_v2_b --workdir runs/simmim_swin_v2_b_queries

What the paper leaves open is as in Mask2Former's own recipe; not run by us.
Constants and sources: docs/methods.md#mask2former.
"""

from m3i_jax.configs import recipes

# Where from, and rate.
TABLE = {"mim": ("runs/simmim_swin_v2_b", 3e-4), "sup": ("runs/swin_v2_b", 1e-4)}


def get_config(before="mim"):
    path, rate = TABLE[before]
    return recipes.ade20k(
        path,
        ignore=recipes.OTHER_WINDOWS + "|/norm/|final_norm",
        warmup="0 steps",
        crops=dict(name="scale_jitter", base=(2048, 512), most=1.0),
        # Maps are read behind blocks, the last one too.
        encoder=dict(recipes.SWIN, window=8, drop_path=0.3, final_norm=False),
        objective=dict(name="mask2former", classes=150, blocks="stages"),
        decoders=dict(segmentation=dict(name="mask2former")),
        optimizer=dict(
            recipes.DENSE_ADAMW, lr=rate, schedule=dict(name="polynomial", power=0.9), clip=0.01,
            lr_scale=((r"^encoders/image/", 0.1),),
            no_decay=recipes.MASK2FORMER_NO_DECAY,
        ),
    )  # fmt: skip
