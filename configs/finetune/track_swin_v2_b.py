r"""Tracking by SwinV2-B, 224 pixels around a template of 112, 300 epochs (SwinTrack).

    m3i plan --config finetune/track_swin_v2_b
    m3i pretrain --config finetune/track_swin_v2_b \
        --config.init_from.path=runs/simmim_swin_v2_b --workdir runs/simmim_swin_v2_b_track

GOT-10k alone, where theirs draws from LaSOT, TrackingNet and COCO, too; not run by us.
Constants and sources: docs/methods.md#swin_track.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.dense(
        "runs/simmim_swin_v2_b",
        # Of three stages, whose maps are of 14 x 14 and 7 x 7 cells.
        ignore=recipes.OTHER_WINDOWS + "|stages_3|stages_2/downsample|(^|/)norm/",
        image=224,
        batch=160,
        duration="300 epochs",
        warmup="3 epochs",
        epoch_size=131_072,
        data=dict(name="videos", root="data/got10k"),
        crops=dict(name="track"),
        augment=dict(
            a=dict(recipes.ERASING, erasing=0.0, jitter=1.0, grayscale=0.05, brightness=0.4,
                   contrast=0.4, saturation=0.4, hue=0.0),
            b=dict(recipes.ERASING, erasing=0.0, jitter=1.0, grayscale=0.05, brightness=0.4,
                   contrast=0.4, saturation=0.4, hue=0.0),
        ),
        encoder=dict(
            name="swin_v2_b", depths=(2, 2, 18), heads=(4, 8, 16), window=(7, 7, 7),
            pretrained_window=(12, 12, 12), hide="",
        ),
        objective=dict(name="swin_track"),
        decoders=dict(tracking=dict(name="swin_track", width=512, depth=8)),
        optimizer=dict(
            name="adamw", lr=5e-4, b2=0.999, weight_decay=1e-4, clip=0.1,
            lr_scale=((r"^encoders/", 0.1),), no_decay=recipes.NOTHING,
            schedule=dict(name="milestones", milestones=(210 / 300,)),
        ),
    )  # fmt: skip
