"""What configs share. Plain data: nothing here imports the library, so configs load in no time."""

from ml_collections import ConfigDict

# Photometric strengths of METHODS §3.1: the target (view 1 of the paper) is disturbed little, the
# input much.
TARGET_VIEW = dict(blur=0.1, solarize=0.2)
INPUT_VIEW = dict(blur=1.0, solarize=0.0)
# M3I whole (METHODS §4), every argument of the row where a command line can reach it.
M3I = dict(
    name="m3i",
    category=True,
    text=True,
    image=True,
    mix=True,
    hidden=0.5,
    target_view_first="same",
    target_view_second="different",
    decoder_tokens="own",
    positions="all",
    negative_weight=0.0,
    label_smoothing=0.1,
    category_weight=1.0,
    text_weight=1.0,
    mix_group=0,
)

# For pictures of 32 pixels and minutes of training.
MILD = dict(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05, jitter=0.8, grayscale=0.2)


def run(**blocks) -> ConfigDict:
    """A whole config: the blocks given, over what every run has."""
    config = ConfigDict(
        dict(
            seed=0,
            image=224,
            dtype="bfloat16",
            batch=4096,
            accumulate=1,
            duration="100 epochs",
            warmup="0 steps",
            epoch_size=0,
            threads=2,
            unreadable=0.001,
            data=dict(),
            crops=dict(),
            captions=dict(),
            augment=dict(),
            encoder=dict(),
            towers=dict(),
            decoders=dict(),
            objective=dict(),
            target=dict(),
            weighting=dict(name="constant"),
            optimizer=dict(),
            mesh=dict(data=-1, fsdp=1),
            log=dict(every=50, images=5000),
            checkpoint=dict(every=2000, keep=2),
            monitor=dict(every=5000, bank=4096, queries=2048),
        )
    )
    for name, block in blocks.items():
        config[name] = ConfigDict(block) if isinstance(block, dict) else block
    return config


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
        augment=dict(
            a=dict(MILD, blur=0.1),
            b=dict(MILD, blur=1.0),
        ),
        encoder=dict(name="vit_nano", patch=8),
        optimizer=dict(name="adamw", lr=1e-3, b2=0.95, weight_decay=0.05, clip=1.0),
        log=dict(every=10, images=500),
        checkpoint=dict(every=250, keep=2),
        monitor=dict(every=250, bank=1000, queries=500),
    )
    return run(**{**settings, **blocks})


def imagenet(**blocks) -> ConfigDict:
    """ViT-B/16 on ImageNet-1k in class folders, 1600 epochs at batch 4096 (METHODS §4.7)."""
    settings = dict(
        duration="1600 epochs",
        warmup="40 epochs",
        epoch_size=1_281_167,
        data=dict(name="image_folder", root="data/imagenet"),
        crops=dict(scale=(0.08, 1.0), flip=0.5),
        augment=dict(a=TARGET_VIEW, b=INPUT_VIEW),
        encoder=dict(name="vit_b16", positions="sincos", drop_path=0.1),
        optimizer=dict(name="adamw", lr=1e-3, b2=0.95, weight_decay=0.1, clip=1.0),
    )
    return run(**{**settings, **blocks})


def images_only(config: ConfigDict) -> ConfigDict:
    """An M3I config without categories and captions: self-supervised."""
    config.objective.category = config.objective.text = False
    config.weighting = ConfigDict(dict(name="constant"))
    config.captions, config.towers = ConfigDict(), ConfigDict()
    config.decoders = ConfigDict(dict(image=config.decoders.image))
    return config
