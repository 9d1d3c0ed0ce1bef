r"""Fine-tuning on pictures that are small and aligned, such as garments or digits: few epochs.

    m3i finetune --recipe light --model runs/garments --branch ema --epochs 1 --workdir runs/labels
    m3i plan --config finetune/light

`small` with hardly any augmentation: crops of .8 or more, no RandAugment, mixup of hardly any
image, no drop path, and a layer decay that lets early blocks move (.9). Ours, of no paper;
docs/fashion_mnist.md has what it gives there and what else was tried.
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
        crops=dict(scale=(0.8, 1.0), flip=0.5),
        augment=dict(),
        encoder=dict(recipes.FINE_TUNED, name="vit_b16", positions="tuned", drop_path=0.0),
        objective=dict(recipes.MIXED, mixup=0.02, cutmix=0.0),
        **recipes.classifier(1000, 768, norm="layer", deviation=2e-5),
        optimizer=dict(
            recipes.FINE_ADAMW, lr=1e-3, weight_decay=0.05, layer_decay=0.9, clip=1.0
        ),
    )  # fmt: skip
