r"""CIM on the embedded digit scenes: repairs a corrupted image, or finds what was replaced.

    m3i train_tokenizer --config digit_scenes/vq_vae \
        --workdir runs/painter
    m3i pretrain --config digit_scenes/cim --workdir runs/cim
    m3i analyze --workdir runs/cim --measure cim

The first command makes visual tokens and their decoder, the last one shows what became of them.
Other arguments: revdet; erasing, without generator and tokens (CIM Table 8); and respix_resnet,
revdet_resnet, erasing_resnet, where a ResNet repairs or finds (docs/methods.md#cim).
"""

from m3i_jax.configs import recipes

# 4 x 4 cells of 8 pixels answer for 8 x 8 tokens.
RESNET = dict(name="resnet_nano", depths=(1, 1, 1, 1))
HEADS = {"respix": "pixels", "revdet": "replaced", "erasing": "pixels"}


def get_config(variant="respix"):
    task, _, enhancer = variant.partition("_")
    # One of two blocks is the enhancer's where that is a ViT (CIM Table 5: two of four).
    encoder, shares, split = recipes.FINE_VIT, dict(shares=1), 1
    if enhancer == "resnet":
        encoder, shares, split = RESNET, {}, 2 if task == "revdet" else 1
    blocks = dict(
        augment=dict(),
        encoder=encoder,
        decoders={HEADS[task]: dict(name="linear", split=split)},
        optimizer=recipes.CIM_ADAMW,
    )
    if task == "erasing":
        objective = dict(name="cim", corruption="erasing", hidden=0.5)
        return recipes.digit_scenes(objective=objective, **blocks)
    blocks["decoders"]["words"] = dict(name="linear", input="generator")
    objective = dict(name="cim", task=task, vocabulary=256, hidden=0.5)
    return recipes.with_painter(
        objective=objective, towers=dict(generator=recipes.GENERATOR | shares), **blocks
    )
