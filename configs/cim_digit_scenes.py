r"""CIM on the embedded digit scenes: repairs a corrupted image, or finds what was replaced.

    python experiments/train_tokenizer.py --config configs/vq_vae_digit_scenes.py \
        --workdir runs/painter
    python experiments/pretrain.py --config configs/cim_digit_scenes.py --workdir runs/cim
    python experiments/pretrain.py --config configs/cim_digit_scenes.py:revdet \
        --workdir runs/cim_revdet

The first command makes words and their painter (METHODS §5).
"""

import recipes


def get_config(task="respix"):
    heads = {"respix": "pixels", "revdet": "replaced"}
    generator = dict(recipes.FINE_VIT, depth=2, hide="mask", positions="learned")
    return recipes.with_painter(
        augment=dict(),
        objective=dict(name="cim", task=task, codes=256, hidden=0.5),
        towers=dict(generator=generator),
        decoders={
            "words": dict(name="linear", input="generator"),
            heads[task]: dict(name="linear"),
        },
        optimizer=dict(name="adamw", lr=1e-3, b2=0.98, weight_decay=0.05, clip=3.0),
    )
