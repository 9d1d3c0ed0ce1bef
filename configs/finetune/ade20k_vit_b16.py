r"""Segmentation of ADE20K by ViT-B/16, 160 000 steps: UPerNet (M3I Table 12), or CIM's linear head.

    m3i plan --config finetune/ade20k_vit_b16
    m3i pretrain --config finetune/ade20k_vit_b16 \
        --config.init_from.path=runs/m3i_in1k --workdir runs/m3i_in1k_ade20k
    m3i plan --config finetune/ade20k_vit_b16:mae
    m3i plan --config finetune/ade20k_vit_b16:siamese_im
    m3i plan --config finetune/ade20k_vit_b16:beit
    m3i plan --config finetune/ade20k_vit_b16:cim

M3I's table leaves open what mmsegmentation's config of MAE has, which SiameseIM's follows, too: the
head, layer decay, and positions beside relative ones. "beit" is of BEiT's own code.
Reported: 51.3 mIoU; MAE 48.1, SiameseIM 51.1; CIM 43.5; not run by us.
Constants and sources: docs/methods.md#segmentation.
"""

from m3i_jax.configs import recipes

# Relative positions are a bias of each block, which runs without them do not have, and start at 0;
# LayerScale at 1. Both are in mmsegmentation's MAE. Its maps are behind blocks, without a norm.
MAE = dict(
    name="vit_b16", positions="tuned", relative_bias="layer", layer_scale=1.0, final_norm=False,
    drop_path=0.1,
)  # fmt: skip
BEIT = dict(recipes.BEIT_VIT, relative_bias="layer", final_norm=False)
CIM = dict(recipes.CIM_VIT, name="vit_b16", final_norm=False, drop_path=0.1)
# Where from, encoder, rate, layer decay.
TABLE = {
    "m3i": ("runs/m3i_in1k", MAE, 1e-4, 0.65),
    "mae": ("runs/mae_vit_b16", MAE, 1e-4, 0.65),
    "siamese_im": ("runs/siamese_im_vit_b16", MAE, 1e-4, 0.65),
    "beit": ("runs/beit_vit_b16", BEIT, 7e-4, 0.65),
    "cim": ("runs/cim_vit_b16", CIM, 3e-4, 0.8),
}
# What a run's encoder may have or lack, and fields that differ on purpose.
IGNORE = recipes.WITHOUT_NORM + r"|relative_|layer_scale|/ls\d/|final_norm"


def get_config(name="m3i"):
    path, encoder, rate, layers = TABLE[name]
    # mmsegmentation's two parts of today for MAE; one is a factor of the other in BEiT's code,
    # which CIM's is.
    apart = dict(name="polynomial", closed=True)
    schedule = apart if encoder is MAE else recipes.FACTOR
    head = recipes.upernet(width=768)
    objective = dict(name="segmentation", classes=150, blocks=(4, 6, 8, 12), auxiliary=0.4)
    if name == "cim":
        head = dict(decoders=dict(segmentation=dict(name="dense_linear", norm="none")))
        objective = dict(name="segmentation", classes=150)
    return recipes.ade20k(
        path,
        ignore=IGNORE,
        encoder=encoder,
        objective=objective,
        **head,
        # Positions and class token decay: the published code exempts them by names that they have
        # without a prefix, which they do not have there.
        optimizer=dict(
            recipes.DENSE_ADAMW, lr=rate, schedule=dict(schedule, start=rate * 1e-6),
            layer_decay=layers,
        ),
    )  # fmt: skip
