r"""Key points of COCO by ViT-B/16 at 256 x 192 pixels, 210 epochs at batch 512 (ViTPose).

    m3i plan --config finetune/coco_pose_vit_b16
    m3i plan --config finetune/coco_pose_vit_b16:simple
    m3i pretrain --config finetune/coco_pose_vit_b16 \
        --config.init_from.path=runs/mae_vit_b16 --workdir runs/mae_vit_b16_coco_pose

Patches lie side by side; theirs begin two pixels outside of the image.
Reported: 75.8 AP, 75.5 by the simple decoder; not run by us.
Constants and sources: docs/methods.md#pose.
"""

from m3i_jax.configs import recipes

HEIGHT, WIDTH = 256, 192
DECODERS = {"classic": dict(name="deconvolutions", layers=2), "simple": dict(name="simple_decoder")}


def get_config(decoder="classic"):
    return recipes.dense(
        "runs/mae_vit_b16",
        ignore="(mask|cls|class)_token$",
        image=HEIGHT,
        batch=512,
        duration="210 epochs",
        warmup="500 steps",
        epoch_size=149_813,  # people with a labelled key point
        data=dict(name="keypoints", root="data/coco"),
        crops=dict(name="person", width=WIDTH),
        augment={},
        encoder=dict(
            name="vit_b16", image=(HEIGHT, WIDTH), positions="tuned", class_token=False,
            drop_path=0.3,
        ),
        objective=dict(name="pose"),
        decoders=dict(pose=DECODERS[decoder]),
        optimizer=dict(
            name="adamw", lr=5e-4, b2=0.999, weight_decay=0.1, layer_decay=0.75, clip=1.0,
            no_decay=recipes.ONE_DIMENSIONAL + "|(^|/)pos_embed$",
            schedule=dict(name="milestones", milestones=(170 / 210, 200 / 210), start=5e-7),
        ),
    )  # fmt: skip
