"""Small runs on the embedded data: minutes on two cores."""

from ml_collections import ConfigDict

from m3i_jax.configs.recipes.parts import BOTTLENECK, SMALL_ADAMW, run

# Heads of methods that compare global codes, for a small ViT (docs/methods.md has the full sizes).
MLP = dict(name="mlp", hidden=512, out=64, pool="mean", norm="batch")
PREDICTOR = dict(name="mlp", hidden=512, norm="batch", pool="class", input="projector")
QUERY = dict(name="query", width=128, depth=2, heads=4)
# A text tower for captions of a few words.
TEXT = dict(name="text_nano", width=64, depth=1, heads=2, vocabulary=512, length=16, unit_norm=True)
# For pictures of 32 pixels and minutes of training: blurred as those of 224 pixels look by 2.
MILD = dict(
    brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05, jitter=0.8, grayscale=0.2,
    sigma=(0.1 / 7, 2 / 7),
)  # fmt: skip


def digit_scenes(**blocks) -> ConfigDict:
    """A small ViT on the embedded data: minutes on two cores."""
    settings = dict(
        image=32,
        dtype="float32",
        batch=64,
        duration="1000 steps",
        warmup="100 steps",
        data=dict(name="digit_scenes"),
        crops=dict(scale=(0.7, 1.0), flip=0.0),
        augment=dict(a=dict(MILD, blur=0.1), b=dict(MILD, blur=1.0)),
        encoder=SMALL_VIT,
        average=dict(),  # with a momentum that fits the duration
        optimizer=SMALL_ADAMW,
        log=dict(every=10, images=500),
        checkpoint=dict(every=250, keep=2),
        monitor=dict(every=250, bank=1000, queries=500),
    )
    return run(**{**settings, **blocks})


SMALL_VIT = dict(name="vit_nano", patch=8)


def with_captions(**blocks) -> ConfigDict:
    """A digit-scenes run with a small text tower."""
    return digit_scenes(captions=dict(vocabulary=512, length=16), towers=dict(text=TEXT), **blocks)


def with_small_crops(**blocks) -> ConfigDict:
    """A digit-scenes run with small crops beside the two views."""
    return digit_scenes(
        crops=dict(scale=(0.7, 1.0), flip=0.0, local_size=16, local_scale=(0.2, 0.5)),
        augment=dict(a=MILD, b=MILD, local=MILD),
        **blocks,
    )


def with_teacher(run: str = "runs/classification", **blocks) -> ConfigDict:
    """A digit-scenes run with a frozen teacher, the encoder of another run."""
    return digit_scenes(
        towers=dict(teacher=SMALL_VIT), weights=dict(teacher=dict(path=run)), **blocks
    )


def with_tokenizer(**blocks) -> ConfigDict:
    """A digit-scenes run on the visual tokens from `experiments/train_tokenizer.py`."""
    decoders = dict(blocks.pop("decoders"), bottleneck=BOTTLENECK | dict(input="tokenizer"))
    return digit_scenes(
        towers=dict(tokenizer=SMALL_VIT),
        weights=dict(tokenizer=dict(path="runs/tokenizer", branch="online")),
        decoders=decoders,
        **blocks,
    )


def with_painter(**blocks) -> ConfigDict:
    """A digit-scenes run on visual tokens that can be decoded (`digit_scenes/vq_vae.py`)."""
    decoders = dict(
        blocks.pop("decoders"), bottleneck=BOTTLENECK | dict(input="tokenizer"), painter=PAINTER
    )
    towers = dict(blocks.pop("towers"), tokenizer=FINE_VIT)
    settings = dict(
        encoder=FINE_VIT,
        towers=towers,
        weights=dict(tokenizer=dict(path="runs/painter", branch="online")),
        decoders=decoders,
    )
    return digit_scenes(**{**settings, **blocks})


FINE_VIT = dict(name="vit_nano", patch=4)
# CIM's, of two blocks; and its rates (CIM Table 9), for digit scenes.
GENERATOR = dict(FINE_VIT, depth=2, hide="mask", positions="learned")
# From visual tokens to the 4 x 4 pixels of each.
PAINTER = dict(name="infill", width=128, depth=1, heads=4, input="bottleneck", out=48)
