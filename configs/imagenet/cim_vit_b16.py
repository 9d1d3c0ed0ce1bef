r"""CIM, ViT-B/16, ImageNet-1k, 300 epochs on DALL-E's tokens (CIM Table 9).

    m3i plan --config imagenet/cim_vit_b16
    m3i plan --config imagenet/cim_vit_b16:revdet
    m3i plan --config imagenet/cim_vit_b16:small

"small" is ResPix of a ViT-S/16.
weights/dalle is to hold the encoder and decoder of OpenAI's dVAE in names of docs/weights.md; no
published file of it has been loaded by us.
The generator's embedding and first two blocks are the enhancer's (Table 5); not run by us.
Constants and sources: docs/methods.md#cim.
"""

from m3i_jax.configs import recipes


def get_config(variant="respix"):
    task = "respix" if variant == "small" else variant
    heads, small = {"respix": "pixels", "revdet": "replaced"}, variant == "small"
    width = dict(width=384, heads=6) if small else {}
    return recipes.cim(
        dict(width, shares=2),
        {heads[task]: dict(name="linear")},
        encoder=dict(recipes.CIM_VIT, name="vit_s16" if small else "vit_b16"),
        objective=dict(name="cim", task=task, tokenizer="dalle"),
    )
