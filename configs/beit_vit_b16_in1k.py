r"""BEiT, ViT-B/16, ImageNet-1k, 800 epochs (Bao et al. 2022; METHODS §2.2).

    python experiments/plan.py --config configs/beit_vit_b16_in1k.py

The words are those of VQ-KD, as the library has no DALL-E dVAE with its crops of 112 pixels; always
75 patches are hidden, where the published generator may stop below.
Reported, with dVAE words: 83.2 fine-tuned; not yet run by us.
"""

import recipes


def get_config():
    return recipes.beit_with_words(
        objective=dict(name="beit", hidden=75 / 196, codes=8192),
        decoders=dict(words=dict(name="linear")),
    )
