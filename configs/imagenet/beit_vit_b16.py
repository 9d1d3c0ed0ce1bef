r"""BEiT, ViT-B/16, ImageNet-1k, 800 epochs on DALL-E's tokens (Bao et al. 2022).

    m3i plan --config imagenet/beit_vit_b16
    m3i plan --config imagenet/beit_vit_b16:vq_kd

weights/dalle is to hold the encoder of OpenAI's dVAE in names of docs/weights.md; no published file
of it has been loaded by us. It reads the view reduced to 112 pixels, where BEiT cuts that from the
photograph by Lanczos. Colours change behind the crop (published: in front of it), and always 75
patches are hidden, where the published generator may stop below.
`:vq_kd` takes the tokens of `imagenet/vq_kd_vit_b16.py`.
Reported: 83.2 fine-tuned; not yet run by us.
Constants and sources: docs/methods.md#beit.
"""

from m3i_jax.configs import recipes


def get_config(tokenizer="dalle"):
    decoders = dict(words=dict(name="linear"))
    if tokenizer == "vq_kd":
        objective = dict(name="beit", hidden=75 / 196, vocabulary=8192)
        return recipes.beit_with_vq_kd(objective=objective, decoders=decoders)
    return recipes.beit(
        towers=dict(tokenizer=dict(name="dalle_encoder")),
        weights=dict(tokenizer=dict(path="weights/dalle")),
        objective=dict(name="beit", hidden=75 / 196, vocabulary=8192, tokenizer="dalle"),
        decoders=decoders,
    )
