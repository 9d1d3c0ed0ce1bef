r"""CapPa, ViT-B/16, batch 8192, 366 500 steps (Tschannen et al. 2023), on YFCC-15M.

    m3i plan --config yfcc/cappa_vit_b16

Published on WebLI, which is not public, with Adafactor, in whose place AdamW stands here. Captions
have a tokenizer of their own words. There is no published result on YFCC-15M; not yet run by us.
Constants and sources: docs/methods.md#cappa.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.imagenet(
        batch=8192,
        duration="366500 steps",
        warmup="10000 steps",
        **recipes.YFCC | {"epoch_size": 0},
        crops=dict(scale=(1.0, 1.0), ratio=(0.05, 20.0), flip=0.0, interpolation="bilinear"),
        augment=dict(),
        encoder=dict(
            name="vit_b16", positions="learned", class_token=False, normalization="inception",
            activation="gelu_tanh",
        ),
        captions=dict(vocabulary=32000, length=64),
        objective=dict(name="cappa", words=32000),
        decoders=dict(
            caption=dict(name="caption", width=768, depth=6, heads=12, length=64, parallel=0.75)
        ),
        # Their decay of 1e-4 stands beside the rate's peak of 1e-3, ours behind it.
        optimizer=dict(
            name="adamw", lr=1e-3, b2=0.999, weight_decay=0.1, no_decay=recipes.ALL_BUT_KERNELS,
            clip=1.0,
        ),
    )  # fmt: skip
