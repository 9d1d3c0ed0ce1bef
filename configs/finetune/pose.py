r"""Fine-tuning on key points, of hundreds to some ten thousand images: 30 epochs.

    m3i finetune runs/mae --recipe pose --data keypoints:root=FOLDER --workdir runs/pose
    m3i plan --config finetune/pose

Encoder, sizes and key points come from the model and the data. Ours, of no paper: the rates of
`finetune/small`, ViTPose's two deconvolutions on the last map; float32.
Constants and sources: docs/methods.md#pose.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.fine_tuned(
        "runs/mae_vit_b16",
        dtype="float32",
        batch=32,
        duration="30 epochs",
        warmup="3 epochs",
        epoch_size=0,
        crops=dict(name="person", flip=0.5, rotation=40.0),
        augment=dict(a=recipes.MILD),
        encoder=dict(recipes.FINE_TUNED, name="vit_b16", positions="tuned"),
        objective=dict(name="pose", points=17),
        towers=dict(),
        decoders=dict(pose=dict(name="deconvolutions", layers=2)),
        optimizer=dict(
            recipes.FINE_ADAMW, lr=1e-3, weight_decay=0.05, layer_decay=0.75, clip=1.0
        ),
    )  # fmt: skip
