r"""Segmentation of ADE20K by a linear head on a frozen ViT-L/16, 40 000 steps (DINOv3).

    m3i plan --config finetune/ade20k_linear_vit_l16
    m3i pretrain --config finetune/ade20k_linear_vit_l16 \
        --config.init_from.path=runs/dinov3_vit_l16 --workdir runs/dinov3_vit_l16_ade20k

A batch norm of the last map and a product for each cell learn. Another encoder:
--config.encoder=vit_b16 and its own fields. Not run by us.
Constants and sources: docs/methods.md#segmentation.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.ade20k(
        "runs/dinov3_vit_l16",
        ignore="mask_token$",
        duration="40000 steps",
        encoder=recipes.DINOV3_VIT,
        # The mean over the pixels that are named.
        objective=dict(name="segmentation", classes=150, named=True),
        decoders=dict(segmentation=dict(name="dense_linear", dropout=0.1)),
        optimizer=recipes.probe(1e-3, warmup_ratio=1e-6, b2=0.999, weight_decay=1e-3),
    )
