r"""Fine-tuning of SimMIM's ViT-B/16, ImageNet-1k, 100 epochs at batch 2048.

    m3i plan --config finetune/simmim_vit_b16
    m3i pretrain --config finetune/simmim_vit_b16 \
        --config.init_from.path=runs/simmim_vit_b16 --workdir runs/simmim_vit_b16_finetuned

The position bias that the blocks shared becomes one of each block, the mean patch token takes the
place of the class token. Reported: 83.8; not run by us.
Constants and sources: docs/methods.md#fine-tuning.
"""

from m3i_jax.configs import recipes


def get_config():
    path = "runs/simmim_vit_b16"
    return recipes.simmim_fine_tuned(
        path,
        layer_decay=0.65,
        head=recipes.classifier(1000, 768, norm="layer"),
        encoder=dict(recipes.BEIT_VIT, relative_bias="layer", final_norm=False),
        init_from=dict(path=path, ignore=recipes.WITHOUT_NORM + "|relative_bias"),
    )
