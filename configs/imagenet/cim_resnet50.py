r"""CIM, ResNet-50, ImageNet-1k, 300 epochs on DALL-E's tokens (CIM Table 9).

    m3i plan --config imagenet/cim_resnet50
    m3i plan --config imagenet/cim_resnet50:revdet

weights/dalle is to hold the encoder and decoder of OpenAI's dVAE in names of docs/weights.md; no
published file of it has been loaded by us.
A convolution repairs what a transformer corrupted; not run by us.
Constants and sources: docs/methods.md#cim.
"""

from m3i_jax.configs import recipes


def get_config(task="respix"):
    # 7 x 7 cells of 32 pixels answer for 14 x 14 tokens, or for all their pixels.
    heads = {
        "respix": dict(pixels=dict(name="linear")),
        "revdet": dict(replaced=dict(name="linear", split=2)),
    }
    return recipes.cim(
        dict(width=384, heads=6),
        heads[task],
        encoder=dict(name="resnet50"),
        objective=dict(name="cim", task=task, tokenizer="dalle"),
    )
