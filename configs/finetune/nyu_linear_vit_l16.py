r"""Depth of NYU v2 by a linear head of bins on a frozen ViT-L/16, 38 400 steps (DINOv3).

    m3i plan --config finetune/nyu_linear_vit_l16
    m3i pretrain --config finetune/nyu_linear_vit_l16 \
        --config.init_from.path=runs/dinov3_vit_l16 --workdir runs/dinov3_vit_l16_nyu

Theirs also turns images by 2.5 degrees at most, cuts their white edge off, changes gamma and each
channel, and lets AdamW's b1 go from .85 to .95. Not run by us.
Constants and sources: docs/methods.md#depth.
"""

from m3i_jax.configs import recipes

SIDES = 416, 544
RATE = 3e-4


def get_config():
    colours = dict(recipes.ERASING, erasing=0.0, jitter=0.5, brightness=0.25)
    return recipes.dense(
        "runs/dinov3_vit_l16",
        ignore="mask_token$",
        image=SIDES[0],
        batch=16,
        duration="38400 steps",
        warmup="12800 steps",
        data=dict(name="depth_list", root="data/nyu"),
        crops=dict(name="scale_jitter", base=None, scale=(1.0, 1.0), width=SIDES[1]),
        augment=dict(a=dict(colours, contrast=0.0, saturation=0.0, hue=0.0)),
        encoder=dict(recipes.DINOV3_VIT, image=SIDES),
        # .15 (mean d)² + var d = mean d² − .85 (mean d)².
        objective=dict(name="depth", variance=0.85),
        decoders=dict(depth=dict(name="depth_bins", max_depth=10.0)),
        # It ends at the peak over 25 and 1000.
        optimizer=recipes.probe(
            RATE, warmup_ratio=1e-3, end_lr=RATE / 25e3, b2=0.99, weight_decay=1e-4, clip=35.0
        ),
    )
