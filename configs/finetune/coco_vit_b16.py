r"""Boxes and masks of COCO by ViT-B/16 at 1024 pixels, 100 epochs at batch 64 (ViTDet).

    m3i plan --config finetune/coco_vit_b16
    m3i pretrain --config finetune/coco_vit_b16 \
        --config.init_from.path=runs/mae_vit_b16 --workdir runs/mae_vit_b16_coco

Reported, M3I: 52.2 AP of boxes, 51.6 by MAE; not run by us.
Constants and sources: docs/methods.md#mask_rcnn.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.dense(
        "runs/mae_vit_b16",
        # Tables of relative positions are new, and there is neither a class token nor a last norm.
        ignore="(mask|cls|class)_token$|relative|(^|/)norm/",
        image=1024,
        batch=64,
        duration="184375 steps",
        warmup="250 steps",
        data=dict(name="objects", root="data/coco"),
        crops=recipes.LARGE_JITTER,
        augment={},
        encoder=dict(
            name="vit_b16", image=1024, positions="tuned", class_token=False, final_norm=False,
            window=14, global_blocks=(3, 6, 9, 12), relative_bias="decomposed", drop_path=0.1,
        ),
        objective=dict(name="mask_rcnn", classes=80),
        decoders=dict(detection=dict(name="mask_rcnn")),
        optimizer=dict(
            name="adamw", lr=1e-4, b2=0.999, weight_decay=0.1, layer_decay=0.7,
            # Biases decay, norms and positions do not.
            no_decay=r"norm\d?/|(^|/)pos_embed$",
            schedule=dict(
                name="milestones", milestones=(163889 / 184375, 177546 / 184375), start=1e-7
            ),
        ),
    )  # fmt: skip
