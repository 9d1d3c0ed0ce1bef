r"""SimMIM, SwinV2-B, ImageNet-1k, 800 epochs at 192 pixels (Liu et al. 2022).

    m3i plan --config imagenet/simmim_swin_v2_b

The target is each pixel by the 47×47 window around it. Dark Secrets fine-tunes such encoders
(its Tables 2 to 6); not yet run by us.
Constants and sources: docs/methods.md#simmim.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.simmim(
        encoder=dict(name="swin_v2_b", window=12, drop_path=0.1),
        target=dict(name="pixels", normalization="window47"),
    )
