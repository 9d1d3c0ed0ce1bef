r"""Fine-tuning of CIM's ViTs, ImageNet-1k, 100 or 200 epochs (CIM Table 10).

    m3i plan --config finetune/cim_vit_b16
    m3i plan --config finetune/cim_vit_b16:revdet
    m3i plan --config finetune/cim_vit_b16:small

From the run of `imagenet/cim_vit_b16.py`, "small" from its ViT-S for 200 epochs;
--config.init_from.path=FILE takes other weights.
The classifier reads the mean patch token behind a norm of its own and starts near 0, as in the
code of BEiT, which Table 10 follows; so is the rate at the end.
Reported: 83.3 after ResPix, 83.1 after RevDet; not run by us.
Constants and sources: docs/methods.md#fine-tuning.
"""

from m3i_jax.configs import recipes

# Where from, encoder and its width, epochs, rate.
TABLE = {
    "respix": ("runs/cim_vit_b16", "vit_b16", 768, 100, 3e-3),
    "revdet": ("runs/cim_vit_b16_revdet", "vit_b16", 768, 100, 5e-3),
    "small": ("runs/cim_vit_s16", "vit_s16", 384, 200, 3e-3),
}


def get_config(variant="respix"):
    path, encoder, width, epochs, rate = TABLE[variant]
    return recipes.imagenet(
        batch=1024,
        duration=f"{epochs} epochs",
        warmup="5 epochs",
        crops=recipes.rand_augment(9.0, scale=(0.08, 1.0), flip=0.5),
        augment=dict(),
        encoder=dict(recipes.FINE_TUNED, name=encoder, positions="learned"),
        init_from=dict(path=path, ignore=recipes.WITHOUT_NORM),
        objective=recipes.MIXED,
        average=dict(head=True),
        validation=dict(every="1 epochs", ratio=0.95),
        monitor=dict(recipes.MONITOR, ratio=0.95),
        **recipes.classifier(1000, width, norm="layer", deviation=2e-5),
        optimizer=dict(
            recipes.FINE_ADAMW, lr=rate, schedule=recipes.CLOSED, weight_decay=0.05, layer_decay=0.8
        ),
    )
