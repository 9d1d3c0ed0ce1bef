r"""Fine-tuning on depth, of hundreds to some ten thousand images: 30 epochs.

    m3i finetune runs/mae --recipe depth --data depth_list:root=FOLDER --workdir runs/depth
    m3i plan --config finetune/depth

Encoder, sizes and positions come from the model and the data. Ours, of no paper: the rates of
`finetune/small`, a head of deconvolutions on the last map; float32.
Constants and sources: docs/methods.md#depth.
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
        crops=dict(name="scale_jitter", base=(896, 224), scale=(1.0, 1.0), flip=0.5),
        augment=dict(a=recipes.MILD),
        encoder=dict(recipes.FINE_TUNED, name="vit_b16", positions="tuned"),
        objective=dict(name="depth"),
        towers=dict(),
        decoders=dict(depth=dict(name="depth_deconvolutions", layers=2)),
        optimizer=dict(
            recipes.FINE_ADAMW, lr=1e-3, weight_decay=0.05, layer_decay=0.75, clip=1.0
        ),
    )  # fmt: skip
