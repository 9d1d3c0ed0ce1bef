r"""Fine-tuning of RepLKNet-31B after SimMIM, ImageNet-1k, 100 epochs (Dark Secrets C.1).

    m3i plan --config finetune/replknet_31b
    m3i pretrain --config finetune/replknet_31b \
        --config.init_from.path=runs/simmim_replknet_31b --workdir runs/replknet_31b_finetuned

The stem stays lifted. The paper names AutoAugment and gives no strengths: those of SimMIM's code,
which it follows, are RandAugment 9/.5, mixup .8, cutmix 1, erasing .25; clipping 5, too.
Reported: 83.3; not run by us.
Constants and sources: docs/methods.md#fine-tuning.
"""

from m3i_jax.configs import recipes


def get_config():
    config = recipes.simmim_fine_tuned(
        "runs/simmim_replknet_31b",
        layer_decay=0.8,
        head=recipes.classifier(1000, 1024),
        encoder=dict(name="replknet_31b", small_kernel=None, lifted=64, drop_path=0.1),
    )
    config.init_from.ignore = "mask_token$"
    config.optimizer.no_decay = recipes.ONE_DIMENSIONAL + "|(^|/)mask_token$"
    return config
