r"""Fine-tuning of SimMIM's SwinV2-B, ImageNet-1k, 100 epochs at batch 2048.

    m3i plan --config finetune/simmim_swin_v2_b
    m3i pretrain --config finetune/simmim_swin_v2_b \
        --config.init_from.path=runs/simmim_swin_v2_b --workdir runs/simmim_swin_v2_b_finetuned

Windows of 14 cells at 224 pixels, their position bias from those of 12 at 192.
Reported: 85.0 after 500 000 steps; not run by us.
Constants and sources: docs/methods.md#fine-tuning.
"""

from m3i_jax.configs import recipes

# Table 6 of Dark Secrets has this encoder, too.
ENCODER = dict(name="swin_v2_b", window=14, pretrained_window=(12, 12, 12, 6), hide="")


def get_config():
    config = recipes.simmim_fine_tuned(
        "runs/simmim_swin_v2_b",
        layer_decay=0.75,
        head=recipes.classifier(1000, 1024),
        encoder=dict(ENCODER, drop_path=0.1),
    )
    config.init_from.ignore = "mask_token$|window|hide"
    config.optimizer.no_decay = recipes.ONE_DIMENSIONAL  # cpb_mlp and logit_scale among it
    return config
