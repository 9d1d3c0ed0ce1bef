r"""Fine-tuning of MAE's ViT-L/16 and ViT-H/14, ImageNet-1k, 50 epochs (MAE, FINETUNE.md).

    m3i plan --config finetune/mae_vit_l16
    m3i plan --config finetune/mae_vit_l16:huge
    m3i pretrain --config finetune/mae_vit_l16 \
        --config.init_from.path=weights/mae_vit_l16 --workdir runs/mae_vit_l16_finetuned

Its ViT-B/16 is `finetune/vit_b16.py:mae`. Reported: 85.9 and 86.9; not run by us.
Constants and sources: docs/methods.md#fine-tuning.
"""

from m3i_jax.configs import recipes

# Encoder, its width, drop path (FINETUNE.md: ViT-Large, ViT-Huge).
TABLE = {"large": ("vit_l16", 1024, 0.2), "huge": ("vit_h14", 1280, 0.3)}


def get_config(size="large"):
    encoder, width, drop_path = TABLE[size]
    return recipes.fine_tuned(
        f"runs/mae_{encoder}",
        duration="50 epochs",
        encoder=dict(
            recipes.FINE_TUNED, name=encoder, positions="tuned", drop_path=drop_path
        ),
        **recipes.classifier(1000, width, norm="layer", deviation=2e-5),
        # blr 1e-3 per 256 images, at 1024.
        optimizer=dict(recipes.FINE_ADAMW, lr=4e-3, weight_decay=0.05, layer_decay=0.75),
    )  # fmt: skip
