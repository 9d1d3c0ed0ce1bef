r"""SigLIP, ViT-B/16, YFCC-15M, 25 epochs (Zhai et al. 2023).

    m3i plan --config yfcc/siglip_vit_b16

Published on WebLI, which is not public: loss and optimiser are SigLIP's, all else is
`yfcc/clip_vit_b16.py`, to be compared with it. The class token instead of SigLIP's attention
pooling, whose decoder has no bias to learn. There is no published result; not yet run by us.
Constants and sources: docs/methods.md#siglip.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.images_with_texts(
        objective=dict(name="siglip", hidden=0.0),
        decoders=dict(
            text=dict(
                name="linear", pool="class", bias=False, logit_scale=True, logit_start=10.0,
                logit_bias=-10.0,
            ),
        ),
        # Their decay of 1e-4 stands beside the rate's peak of 1e-3, ours behind it.
        optimizer=dict(
            name="adamw", lr=1e-3, b2=0.95, weight_decay=0.1, no_decay=recipes.ALL_BUT_KERNELS,
            clip=1.0,
        ),
    )  # fmt: skip
