r"""CLIP, ViT-B/16, YFCC-15M, 25 epochs (Radford et al. 2021, as in SLIP's baseline).

    m3i plan --config yfcc/clip_vit_b16

The folder holds images with NAME.txt captions beside them, one a line, of which one is drawn.
Reported: 37.6 zero-shot, 66.5 linear, 80.5 fine-tuned; not yet run by us.
Constants and sources: docs/methods.md#clip.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.images_with_texts(
        objective=dict(name="clip", hidden=0.0),
        decoders=dict(text=dict(name="linear", pool="class", bias=False, logit_scale=True)),
        optimizer=dict(
            name="adamw", lr=5e-4, end_lr=1e-5, schedule=dict(recipes.CLOSED, start=1e-6), b2=0.98,
            eps=1e-8, weight_decay=0.5, limits=recipes.TEMPERATURE,
        ),
    )  # fmt: skip
