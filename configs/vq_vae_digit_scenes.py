r"""VQ-VAE, a tokenizer of digit scenes that can paint its words: the first half of CIM.

    python experiments/train_tokenizer.py --config configs/vq_vae_digit_scenes.py \
        --workdir runs/painter
"""

import recipes


def get_config():
    return recipes.digit_scenes(
        encoder=recipes.FINE_VIT,
        augment=dict(),
        objective=dict(name="vq_vae", codes=256, decay=0.99, commitment=0.02),
        decoders=dict(bottleneck=recipes.BOTTLENECK, painter=recipes.PAINTER),
        optimizer=dict(
            name="adamw", lr=1e-3, b2=0.99, weight_decay=1e-4, no_decay=recipes.WITHOUT_CLASS
        ),
    )
