r"""Fine-tuning on boxes of objects, of hundreds to some ten thousand images: 30 epochs.

    m3i finetune runs/mae --recipe detection --data objects:root=FOLDER --workdir runs/detection
    m3i finetune runs/mae --recipe detection --data yolo:root=FOLDER --workdir runs/detection
    m3i plan --config finetune/detection

Encoder, sizes and categories come from the model and the data. Ours, of no paper: the rates of
`finetune/small`, a Mask R-CNN without masks whose boxes are read at half the papers' sides, as
images are smaller; float32.
Constants and sources: docs/methods.md#mask_rcnn.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.fine_tuned(
        "runs/mae_vit_b16",
        dtype="float32",
        batch=16,
        duration="30 epochs",
        warmup="3 epochs",
        epoch_size=0,
        crops=dict(name="scale_jitter", base=(224, 224), scale=(0.5, 1.5), flip=0.5, most=1.0),
        augment=dict(a=recipes.MILD),
        encoder=dict(recipes.FINE_TUNED, name="vit_b16", positions="tuned"),
        objective=dict(name="mask_rcnn", classes=80, masks=False),
        towers=dict(),
        decoders=dict(
            detection=dict(
                name="mask_rcnn", pyramid="simple", masks=False, canonical=112.0, regions=128,
                proposals=300, level_proposals=(1000, 300),
            )
        ),
        optimizer=dict(
            recipes.FINE_ADAMW, lr=1e-3, weight_decay=0.05, layer_decay=0.75, clip=1.0
        ),
    )  # fmt: skip
