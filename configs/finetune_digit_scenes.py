r"""Fine-tuning of a run on the digit scenes: its encoder learns the labels, by the recipe of CIM.

    python experiments/pretrain.py --config configs/finetune_digit_scenes.py \
        --workdir runs/finetune_cim
    python experiments/pretrain.py --config configs/finetune_digit_scenes.py:cim_revdet \
        --workdir runs/finetune_cim_revdet
    python experiments/pretrain.py --config configs/finetune_digit_scenes.py:scratch \
        --workdir runs/finetune_scratch

From runs/NAME, which is to have patches of 4 pixels and fixed positions, as `cim_digit_scenes.py`
has; "scratch" starts from the seed. RandAugment, mixup and cutmix, layer decay (CIM Table 10).
"""

import recipes


def get_config(name="cim"):
    return recipes.digit_scenes(
        crops=recipes.rand_augment(9.0, scale=(0.7, 1.0), flip=0.0),
        augment=dict(),
        encoder=dict(recipes.FINE_VIT, drop_path=0.1),
        init_from={} if name == "scratch" else dict(path=f"runs/{name}"),
        objective=dict(name="mixed_classification", mixup=0.8, cutmix=1.0, label_smoothing=0.1),
        **recipes.classifier(10, 128),
        optimizer=dict(
            name="adamw", lr=3e-3, b2=0.999, weight_decay=0.05, layer_decay=0.8,
            no_decay=recipes.WITHOUT_CLASS,
        ),
    )  # fmt: skip
