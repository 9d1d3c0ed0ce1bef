r"""LeJEPA, ViT-S/16, ImageNet-1k, 100 epochs, 6 small crops (Balestriero & LeCun 2025).

    m3i plan --config imagenet/lejepa_vit_s16

The recipe is that of another library's benchmark, which reports 64.0 linear, 47.1 kNN; not yet run
by us.
Constants and sources: docs/methods.md#lejepa.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.gaussian_codes(
        objective=dict(name="lejepa", local=6, weight=0.05, slices=1024),
        decoders=dict(projector=dict(recipes.MLP, layers=3, hidden=2048, out=64, pool="class")),
        lr=5e-4,
    )
