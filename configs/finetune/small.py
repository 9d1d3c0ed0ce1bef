r"""Fine-tuning on small data, of hundreds to some ten thousand images: 30 epochs of batch 64.

    m3i finetune runs/mae --data FOLDER --workdir runs/finetuned
    m3i plan --config finetune/small

The default of `m3i finetune`, which takes encoder, sizes and categories from the model and the
data. Ours, of no paper: BEiT's way with a milder RandAugment, little mixup and no cutmix, as half a
minute of training on a few hundred images cannot afford more; float32.
Constants and sources: docs/methods.md#fine-tuning.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.fine_tuned(
        "runs/mae_vit_b16",
        dtype="float32",
        batch=64,
        duration="30 epochs",
        warmup="3 epochs",
        epoch_size=0,
        crops=recipes.rand_augment(5.0, scale=(0.35, 1.0), flip=0.5),
        augment=dict(),
        encoder=dict(recipes.FINE_TUNED, name="vit_b16", positions="tuned"),
        objective=dict(recipes.MIXED, mixup=0.2, cutmix=0.0),
        **recipes.classifier(1000, 768, norm="layer", deviation=2e-5),
        optimizer=dict(
            recipes.FINE_ADAMW, lr=1e-3, weight_decay=0.05, layer_decay=0.75, clip=1.0
        ),
    )  # fmt: skip
