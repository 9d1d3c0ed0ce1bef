r"""SimMIM, ViT-B/16, ImageNet-1k, 800 epochs (Xie et al. 2022).

    m3i plan --config imagenet/simmim_vit_b16

Reported: 83.8 fine-tuned; not yet run by us.
Constants and sources: docs/methods.md#simmim.
"""

from m3i_jax.configs import recipes


def get_config():
    config = recipes.simmim(
        image=224,
        encoder=recipes.MASKED_VIT,
        objective=dict(name="simmim", hidden=0.6, unit=2),
    )
    config.optimizer.no_decay = recipes.WITHOUT_CLASS
    return config
