r"""One encoder trained by labels, by contrast, by hidden pixels and by M3I, to be looked into.

    m3i pretrain --config fashion_mnist/dark_secrets:mae \
        --workdir runs/garments_mae

The same small ViT of six blocks and four heads, on the same crops of 28 pixels in cells of 4.
docs/dark_secrets.md compares them.
"""

from m3i_jax.configs import recipes

VIT = dict(name="vit_nano", patch=4, width=64, depth=6, heads=4)
HEAD = dict(width=64, depth=1, heads=4)
MLP = dict(recipes.MLP, hidden=256)


def get_config(kind="mae"):
    return recipes.fashion_mnist(
        image=28,
        batch=64,
        encoder=VIT,
        **KINDS[kind],
    )


KINDS = {
    "classification": dict(objective=dict(name="classification"), **recipes.classifier(10, 64)),
    "simclr": dict(
        objective=dict(name="simclr", temperature=0.2),
        decoders=dict(projector=MLP),
    ),
    "mae": dict(
        objective=dict(name="mae", hidden=0.75),
        target=dict(name="pixels", normalization="patch"),
        augment=dict(),
        decoders=dict(image=dict(name="infill", **HEAD)),
    ),
    "m3i": dict(
        data=dict(name="fashion_mnist", captions=True),
        objective=recipes.M3I,
        target=dict(name="ema", end=0.995),
        weighting=dict(name="gradient_norm", gamma=5.0, decay=0.99),
        captions=dict(vocabulary=512, length=16),
        towers=dict(category=dict(name="table", size=10, width=64), text=recipes.TEXT),
        decoders=dict(
            image=dict(name="query", **HEAD),
            category=dict(name="attention_pool", heads=4),
            text=dict(name="attention_pool", heads=4, logit_scale=True),
        ),
    ),
}
