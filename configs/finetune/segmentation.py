r"""Fine-tuning on masks, of hundreds to some ten thousand images: 30 epochs.

    m3i finetune runs/mae --recipe segmentation --data segmentation_folder:root=FOLDER \
        --workdir runs/segmentation
    m3i plan --config finetune/segmentation

Encoder, sizes and categories come from the model and the data. Ours, of no paper: the rates of
`finetune/small`, a linear head on the maps of four blocks, or stages; float32.
Constants and sources: docs/methods.md#segmentation.
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
        crops=dict(name="scale_jitter", base=(896, 224), scale=(0.75, 1.5), flip=0.5),
        augment=dict(a=recipes.MILD),
        encoder=dict(recipes.FINE_TUNED, name="vit_b16", positions="tuned"),
        objective=dict(name="segmentation", classes=150, blocks="stages"),
        towers=dict(),
        decoders=dict(segmentation=dict(name="dense_linear", maps=(0, 1, 2, 3))),
        optimizer=dict(
            recipes.FINE_ADAMW, lr=1e-3, weight_decay=0.05, layer_decay=0.75, clip=1.0
        ),
    )  # fmt: skip
