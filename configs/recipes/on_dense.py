"""Published recipes of dense tasks: ADE20K, NYU Depth v2, KITTI, COCO and CrowdPose."""

from ml_collections import ConfigDict

from m3i_jax.configs.recipes.parts import ERASING, NOTHING, ONE_DIMENSIONAL, run

# Colours of mmsegmentation's pipeline (`PhotoMetricDistortion`), and no others.
DISTORTED = dict(jitter=0.0, grayscale=0.0, blur=0.0, distortion=1.0)
# mmsegmentation's head on the third of four maps, beside another one.
AUXILIARY = dict(name="fcn", width=256, layers=1, concat=False, map=2)
# mmcv's warm-up, a factor of what falls from step 0; its `warmup_ratio` is 1e-6.
FACTOR = dict(name="polynomial", scaled=True)
DENSE_ADAMW = dict(name="adamw", b2=0.999, weight_decay=0.05)
# SwinV2-B after 192 pixels, without a mask token.
SWIN = dict(name="swin_v2_b", pretrained_window=(12, 12, 12, 6), hide="")
# detectron2's large-scale jitter of COCO at 1024 pixels.
LARGE_JITTER = dict(
    name="scale_jitter", base=(1024, 1024), scale=(0.1, 2.0), most=1.0, diagonal=True, flip=0.5,
    objects=100,
)  # fmt: skip
# Biases decay, norms do not, nor what Swin's own code exempts; of Mask2Former queries and levels.
SWIN_NO_DECAY = r"norm\d?[/_]|(^|/)logit_scale$|/cpb_mlp/"
MASK2FORMER_NO_DECAY = SWIN_NO_DECAY + r"|(^|/)(query|query_position|level_embed)$"
# The encoder of `imagenet/dinov3_vit_l16`, as a probe reads it: frozen, without drop path.
DINOV3_VIT = dict(
    name="vit_l16", positions="rope", hide="mask", layer_scale=1e-5, weight_init="deit"
)  # fmt: skip
# What runs or files may have of a mask token and of windows of other sizes.
OTHER_WINDOWS = "mask_token$|window|hide|shift"


def dense(path: str, *, ignore: str, **blocks) -> ConfigDict:
    """Fine-tuning from the run in `path`; nothing watches it, as there are no labels of images."""
    return run(init_from=dict(path=path, ignore=ignore), monitor=dict(every=0), **blocks)


def ade20k(path: str, *, ignore: str = "", **blocks) -> ConfigDict:
    """mmsegmentation's pipeline of ADE20K: crops of 512 pixels, batch 16, 160 000 steps."""
    settings = dict(
        image=512,
        batch=16,
        duration="160000 steps",
        warmup="1500 steps",
        # 0 is everything that has none of the 150 names.
        data=dict(name="segmentation_folder", root="data/ade20k", reduce_zero=True),
        crops=dict(name="scale_jitter", base=(2048, 512)),
        augment=dict(a=DISTORTED),
        objective=dict(name="segmentation", classes=150),
    )
    return dense(path, ignore=ignore, **{**settings, **blocks})


def upernet(**fields) -> dict:
    """Blocks of UPerNet on all maps, and of the auxiliary head beside it."""
    return dict(decoders=dict(segmentation=dict(name="upernet", **fields), auxiliary=AUXILIARY))


def merging(decay: float) -> tuple:
    """Factors of rates where a Swin's merging counts as a layer of its own, beside `layer_decay`.

    `optimizer.layer_decay` gives it that of the block in front: three layers less.
    """
    return (
        (r"/patch_embed/|/stages_0/blocks/", decay**3),
        (r"/stages_0/downsample/|/stages_1/blocks/", decay**2),
        (r"/stages_1/downsample/|/stages_2/blocks/", decay),
    )


def of_dark_secrets(path: str, *, schedule, encoder: dict, **blocks) -> ConfigDict:
    """What the key points and depth of Dark Secrets have in common (supplement F), for Swin-B."""
    optimizer = dict(
        DENSE_ADAMW, lr=5e-4, schedule=schedule, layer_decay=0.9, lr_scale=merging(0.9),
        end_lr=blocks.pop("end_lr", 0.0), no_decay=ONE_DIMENSIONAL,
    )  # fmt: skip
    encoder = dict(SWIN, drop_path=0.3) | encoder
    return dense(path, ignore=OTHER_WINDOWS, optimizer=optimizer, encoder=encoder, **blocks)


def depth(path: str, *, data: dict, crops: dict, max_depth: float, **blocks) -> ConfigDict:
    """Depth of Dark Secrets: 25 epochs at batch 24, the rate up for 12 of them and down for 12."""
    # Albumentations' halves; its gamma is left out. A value of 20 and a saturation of 30 are of
    # 255, a hue of 20 is of 180.
    colours = dict(
        ERASING, erasing=0.0, jitter=0.5, brightness=0.2, contrast=0.2, saturation=30 / 255,
        hue=20 / 180,
    )  # fmt: skip
    return of_dark_secrets(
        path,
        batch=24,
        duration="25 epochs",
        data=dict(name="depth_list", **data),
        # In their own size; a strip of depth in every fourth image (CutDepth).
        crops=dict(name="scale_jitter", base=None, scale=(1.0, 1.0), cut_depth=0.25) | crops,
        augment=dict(a=colours),
        objective=dict(name="depth"),
        decoders=dict(depth=dict(name="depth_deconvolutions", max_depth=max_depth)),
        schedule=dict(name="rise_and_fall", power=0.9, summit=12 / 25),
        end_lr=3e-5,
        **blocks,
    )


def people(path: str, *, data: dict, points: int, **blocks) -> ConfigDict:
    """Key points of Dark Secrets: 150 epochs at batch 512, crops of 256 pixels."""
    # Strengths are published, a share of the images is not: albumentations' half.
    colours = dict(
        ERASING, erasing=0.0, jitter=0.5, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2
    )
    return of_dark_secrets(
        path,
        image=256,
        batch=512,
        duration="150 epochs",
        warmup="500 steps",  # mmpose's; the paper has none
        data=dict(name="keypoints", **data),
        # The boxes are not moved.
        crops=dict(name="person", rotation=40.0, shift_share=0.0),
        augment=dict(a=colours),
        # Windows that divide 64, 32, 16 and 8 cells, as SwinV2's at 256 pixels.
        encoder=dict(window=(16, 16, 16, 8)),
        objective=dict(name="pose", points=points),
        decoders=dict(pose=dict(name="deconvolutions")),
        schedule=dict(name="milestones", milestones=(120 / 150,), start=5e-7),
        **blocks,
    )


def probe(lr: float, *, warmup_ratio: float, **optimizer) -> dict:
    """The optimiser of DINOv3's dense probes: of a head alone, all of which decays."""
    schedule = dict(name="cosine", scaled=True, start=lr * warmup_ratio)
    return (
        dict(name="adamw", lr=lr, schedule=schedule, no_decay=NOTHING, freeze="^encoders/image/")
        | optimizer
    )
