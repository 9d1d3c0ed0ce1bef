r"""Fine-tuning of ViT-B/16, ImageNet-1k, 100 epochs (M3I Table 8; MAE; SiameseIM).

    m3i plan --config finetune/vit_b16
    m3i pretrain --config finetune/vit_b16 \
        --config.init_from.path=runs/m3i_in1k --workdir runs/m3i_in1k_finetuned
    m3i plan --config finetune/vit_b16:mae
    m3i plan --config finetune/vit_b16:siamese_im

RandAugment, random erasing, mixup and cutmix; the positions learn, from the fixed ones.
The paper reports 84.2; MAE 83.6, SiameseIM 84.1; not run by us.
Constants and sources: docs/methods.md#fine-tuning.
"""

from m3i_jax.configs import recipes

# Where from, peak rate, weight decay.
TABLE = {
    "m3i": ("runs/m3i_in1k", 2e-3, 0.1),
    "mae": ("runs/mae_vit_b16", 2e-3, 0.05),
    "siamese_im": ("runs/siamese_im_vit_b16", 1e-3, 0.05),
}


def get_config(name="m3i"):
    path, rate, decay = TABLE[name]
    return recipes.imagenet(
        batch=1024,
        duration="100 epochs",
        warmup="5 epochs",
        crops=recipes.rand_augment(9.0, scale=(0.08, 1.0), flip=0.5),
        augment=dict(a=recipes.ERASING),
        encoder=dict(recipes.FINE_TUNED, name="vit_b16", positions="tuned"),
        init_from=dict(path=path, ignore=recipes.WITHOUT_NORM),
        objective=recipes.MIXED,
        **recipes.COUNTED,
        **recipes.classifier(1000, 768, norm="layer", deviation=2e-5),
        optimizer=dict(recipes.FINE_ADAMW, lr=rate, weight_decay=decay),
    )
