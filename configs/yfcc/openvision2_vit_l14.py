r"""OpenVision 2, ViT-L/14 at 84 pixels, batch 32 768, 390 981 steps (Liu et al. 2025), on YFCC-15M.

    m3i plan --config yfcc/openvision2_vit_l14

CapPa's method from the left alone, with a third of the image's tokens in front of the words. The
first stage of two, which takes most of the time; published on ReCap-DataComp-1B, with BERT's
words. There is no published result on YFCC-15M; not yet run by us.
Constants and sources: docs/methods.md#cappa.
"""

from m3i_jax.configs import recipes

# SimCLR's colours at a strength of .4.
COLOURS = dict(
    brightness=0.32, contrast=0.32, saturation=0.32, hue=0.08, jitter=0.8, grayscale=0.2, blur=0.0
)


def get_config():
    return recipes.imagenet(
        image=84,
        batch=32768,
        duration="390981 steps",
        warmup="1563 steps",
        **recipes.YFCC | {"epoch_size": 0},
        crops=dict(scale=(0.4, 1.0), flip=0.0, interpolation="bilinear"),
        augment=dict(a=COLOURS),
        encoder=dict(
            name="vit_l16", patch=14, positions="sincos", class_token=False,
            activation="gelu_tanh",
        ),
        captions=dict(vocabulary=32000, length=128),
        objective=dict(name="cappa", words=32000),
        decoders=dict(
            caption=dict(
                name="caption", width=768, depth=12, heads=12, length=128, parallel=0.0, keep=0.35,
                prefix=True,
            )
        ),
        optimizer=dict(
            name="adamw", base_lr=8e-6, b2=0.95, weight_decay=0.2,
            no_decay=recipes.ALL_BUT_KERNELS,
        ),
    )  # fmt: skip
