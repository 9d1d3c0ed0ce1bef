r"""Fine-tuning of BEiT's ViT-B/16 and ViT-L/16, ImageNet-1k (BEiT, Table 10 and its code).

    m3i plan --config finetune/beit_vit_b16
    m3i plan --config finetune/beit_vit_b16:large
    m3i pretrain --config finetune/beit_vit_b16 \
        --config.init_from.path=runs/beit_vit_b16 --workdir runs/beit_vit_b16_finetuned

The position bias that the blocks shared becomes one of each block; the classifier reads the mean
patch token behind a norm of its own and starts near 0.
Reported: 83.2 and 85.2 after ImageNet-1k; not run by us.
Constants and sources: docs/methods.md#fine-tuning.
"""

from m3i_jax.configs import recipes

# Encoder, width, LayerScale, epochs, warm-up, rate, layer decay, drop path
# (get_started_for_image_classification.md, "fully self-supervised pretrained").
TABLE = {
    "base": ("vit_b16", 768, 0.1, 100, 20, 4e-3, 0.65, 0.1),
    "large": ("vit_l16", 1024, 1e-5, 50, 5, 1e-3, 0.75, 0.2),
}
# What a run's encoder may have or lack, and the field that differs on purpose.
IGNORE = recipes.WITHOUT_NORM + "|relative_bias"


def get_config(size="base"):
    encoder, width, scale, epochs, warmup, rate, layer_decay, drop_path = TABLE[size]
    path = f"runs/beit_{encoder}"
    return recipes.fine_tuned(
        path,
        duration=f"{epochs} epochs",
        warmup=f"{warmup} epochs",
        encoder=dict(
            recipes.BEIT_VIT, name=encoder, relative_bias="layer", layer_scale=scale,
            final_norm=False, drop_path=drop_path,
        ),
        init_from=dict(path=path, ignore=IGNORE),
        # init_scale .001 of weights whose deviation is .02.
        **recipes.classifier(1000, width, norm="layer", deviation=2e-5),
        optimizer=dict(
            recipes.FINE_ADAMW, lr=rate, schedule=recipes.CLOSED, weight_decay=0.05,
            layer_decay=layer_decay,
        ),
    )  # fmt: skip
