r"""BEiT v2, ViT-B/16, ImageNet-1k, 1600 epochs (Peng et al. 2022).

    m3i plan --config imagenet/beit_v2_vit_b16

The class branch has position biases of its own, where the official one adds the encoder's; always
75 patches are hidden, where the published generator may stop below.
Reported: 85.5 fine-tuned; not yet run by us.
Constants and sources: docs/methods.md#beit_v2.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.beit_with_vq_kd(
        duration="1600 epochs",
        crops=dict(scale=(0.2, 1.0), flip=0.5),
        encoder=dict(recipes.MASKED_VIT, final_norm=False),
        objective=dict(name="beit_v2", hidden=75 / 196, vocabulary=8192),
        decoders=dict(
            words=dict(name="linear", norm_in=True),
            class_branch=dict(
                name="class_branch", layer=9, depth=2, heads=12, relative_bias=True,
                qkv_bias="qv", layer_scale=0.1,
            ),
        ),
    )  # fmt: skip
