r"""VISReg, ViT-S/16, ImageNet-1k, 100 epochs, 6 small crops (Wu et al. 2026).

    m3i plan --config imagenet/visreg_vit_s16

The recipe is that of another library's benchmark, with two large views for its four; not yet run by
us.
Constants and sources: docs/methods.md#visreg.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.gaussian_codes(
        objective=dict(name="visreg", local=6, weight=0.9, slices=2048),
        decoders=dict(
            projector=dict(
                recipes.MLP, layers=3, hidden=2048, out=256, pool="class", activation="gelu"
            )
        ),
        lr=9e-4,
    )
