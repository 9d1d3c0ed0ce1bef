r"""One encoder trained by labels, by hidden pixels and by M3I, to be judged by dense tasks.

    m3i pretrain --config digit_scenes/dark_secrets:mae \
        --workdir runs/dense/mae

The same small ViT of four blocks on scenes of 32 pixels in cells of 4. docs/dense.md has what
dense tasks say of the first.
"""

from m3i_jax.configs import recipes

VIT = dict(name="vit_nano", patch=4, width=64, depth=4, heads=4)
HEAD = dict(width=64, depth=1, heads=4)


def get_config(kind="mae"):
    return recipes.digit_scenes(
        encoder=VIT, monitor=dict(every=0), log=dict(every=50, images=0), **KINDS[kind]
    )


KINDS = {
    "classification": dict(
        objective=dict(name="classification", label_smoothing=0.1), **recipes.classifier(10, 64)
    ),
    "mae": dict(
        objective=dict(name="mae", hidden=0.75),
        target=dict(name="pixels", normalization="patch"),
        augment=dict(),
        decoders=dict(image=dict(name="infill", **HEAD)),
    ),
    "m3i": dict(
        # Captions are told apart by colour and photograph long before digits are.
        objective=dict(recipes.M3I, text_weight=0.1),
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
