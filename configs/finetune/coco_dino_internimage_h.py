r"""Boxes of COCO by InternImage-H and DINO, the detector, 12 epochs (M3I, appendix B.2).

    m3i plan --config finetune/coco_dino_internimage_h --accelerator=v5p --devices=64
    m3i pretrain --config finetune/coco_dino_internimage_h \
        --config.init_from.path=runs/m3i_internimage_h --workdir runs/m3i_internimage_h_coco

Theirs doubles the network, a second one that reads the maps of the first, and is trained on
Objects365 for 26 epochs before; this is one network, straight from M3I's run. What the paper leaves
open is that of the file that InternImage's authors published for one network. Not run by us.
Constants and sources: docs/methods.md#dino_detector.
"""

from m3i_jax.configs import recipes

OFFSETS = "/sampling_offsets/"  # of deformable attention
# Of an encoder's layer this counts one more than classification does, of embeddings two; the last
# norm is in the first layer of its stage, and those between blocks, by a slip, in layers 13 to 17.
LAYERS = (
    (r"/patch_embed/", 0.94**2),
    (r"/post_norms/", 0.94**36),
    (r"/stages_3/norm/", 0.94**6),
    (r"^encoders/image/", 0.94),
)


def get_config():
    return recipes.dense(
        "runs/m3i_internimage_h",
        ignore="^encoders/image/projection/|fused",
        image=2016,
        batch=64,
        duration="12 epochs",
        epoch_size=117_266,  # images with an object that is no crowd
        warmup="500 steps",
        data=dict(name="objects", root="data/coco"),
        crops=dict(
            name="scale_jitter", base=(2000, 2000), scale=(0.4, 1.0), most=1.0, diagonal=True,
            flip=0.5, objects=100,
        ),
        augment={},
        encoder=dict(name="internimage_h", drop_path=0.5, remat="full"),
        objective=dict(name="dino_detector", classes=80),
        decoders=dict(detection=dict(name="dino_detector", groups=10)),
        optimizer=dict(
            name="adamw", lr=1e-4, b2=0.999, weight_decay=1e-4, clip=0.1, layer_decay=0.94,
            lr_scale=(*LAYERS, (OFFSETS, 1e-3)),
            no_decay=recipes.ONE_DIMENSIONAL + "|" + OFFSETS,
            schedule=dict(name="constant", start=1e-7),
        ),
    )  # fmt: skip
