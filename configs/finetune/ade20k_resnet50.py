r"""Segmentation of ADE20K by ResNet-50 and FCN, 160 000 or 80 000 steps (CIM, section 3.3).

    m3i plan --config finetune/ade20k_resnet50
    m3i plan --config finetune/ade20k_resnet50:80
    m3i pretrain --config finetune/ade20k_resnet50 \
        --config.init_from.path=runs/cim_resnet50_revdet --workdir runs/cim_resnet50_ade20k

mmsegmentation's fcn_r50-d8_512x512_160k_ade20k, which the paper names, with a plain stem.
Reported: 38.0 mIoU, 36.2 after 80 000 steps; not run by us.
Constants and sources: docs/methods.md#segmentation.
"""

from m3i_jax.configs import recipes


def get_config(thousands="160"):
    return recipes.ade20k(
        "runs/cim_resnet50_revdet",
        duration=f"{thousands}000 steps",
        warmup="0 steps",
        # The last two stages are dilated instead of halved.
        encoder=dict(recipes.RESNET, output_stride=8),
        objective=dict(name="segmentation", classes=150, blocks="stages", auxiliary=0.4),
        decoders=dict(segmentation=dict(name="fcn"), auxiliary=recipes.AUXILIARY),
        optimizer=dict(
            name="sgd", lr=0.01, end_lr=1e-4, schedule=dict(name="polynomial", power=0.9),
            momentum=0.9, weight_decay=5e-4, no_decay=recipes.NOTHING,
        ),
    )  # fmt: skip
