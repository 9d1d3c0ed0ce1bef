r"""Fine-tuning of a run on the digit scenes: its encoder learns the labels, by the recipe of CIM.

    m3i pretrain --config finetune/digit_scenes \
        --workdir runs/finetune_cim
    m3i pretrain --config finetune/digit_scenes:cim_revdet \
        --workdir runs/finetune_cim_revdet
    m3i pretrain --config finetune/digit_scenes:scratch \
        --workdir runs/finetune_scratch
    m3i pretrain --config finetune/digit_scenes:m3i \
        --workdir runs/finetune_m3i

From runs/NAME, which is to have patches of 4 pixels and fixed positions, as `digit_scenes/cim.py`
has; "scratch" starts from the seed. RandAugment, mixup and cutmix, layer decay (CIM Table 10).
"m3i" is of `digit_scenes/m3i.py`, with random erasing and more decay (M3I Table 8).
"""

from m3i_jax.configs import recipes


def get_config(name="cim"):
    m3i = name == "m3i"
    start = dict(path=f"runs/{name}", ignore=recipes.WITHOUT_NORM)
    decay = dict(weight_decay=0.1, layer_decay=0.65) if m3i else dict(layer_decay=0.8)
    return recipes.digit_scenes(
        crops=recipes.rand_augment(9.0, scale=(0.7, 1.0), flip=0.0),
        augment=dict(a=recipes.ERASING) if m3i else dict(),
        encoder=dict(recipes.SMALL_VIT if m3i else recipes.FINE_VIT, **recipes.FINE_TUNED),
        init_from={} if name == "scratch" else start,
        objective=recipes.MIXED,
        average=dict(head=True),
        validation=dict(every="250 steps"),
        **recipes.classifier(10, 128, norm="layer", deviation=2e-5),
        optimizer=dict(recipes.FINE_ADAMW, lr=3e-3, **decay),
    )
