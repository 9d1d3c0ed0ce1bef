"""The numbers of the recipes, each as its source publishes it; what a config leaves unsaid counts.

A line is (config, where the numbers were read, {key: number}). Rates that a source gives per 256 or
512 images are multiplied out.
"""

import inspect
import re
from functools import partial

import jax
import numpy as np
import pytest

from m3i_jax import augment, cli, encoders, framework, methods, shipped, trees
from m3i_jax.data.sources.protocol import Sample
from m3i_jax.data.views import kinds
from m3i_jax.heads import HEADS
from m3i_jax.training import assemble, optimizer, schedules
from m3i_jax.training.config import Config
from m3i_jax.training.rules import Rules

IMAGENET = {"epoch_size": 1_281_167, "image": 224, "crops.flip": 0.5, "crops.ratio": (3 / 4, 4 / 3)}
ADAMW = {"optimizer.name": "adamw", "optimizer.b1": 0.9, "optimizer.eps": 1e-8}
BICUBIC, BILINEAR = ({"crops.interpolation": name} for name in ("bicubic", "bilinear"))

SMALL = re.compile("digit_scenes|fashion_mnist|^folder/")  # of data sets to learn on, ours


def lengths(batch, epochs, warmup):
    return {"batch": batch, "duration": f"{epochs} epochs", "warmup": f"{warmup} epochs"}


def rates(peak, *, start=0.0, end=0.0):
    return {"rate": peak, "rate.start": start, "rate.end": end}


def steps(b2, decay, *, clip=None):
    return {"optimizer.b2": b2, "optimizer.weight_decay": decay, "optimizer.clip": clip}


MAE = IMAGENET | ADAMW | BICUBIC | {"crops.scale": (0.2, 1.0), "augment": {}}
DRAWN = {"encoder.weight_init": "deit"}  # a normal of .02, cut off where it never is
CLOSED = {"optimizer.schedule.closed": True}  # np.linspace(0, peak, steps) in unilm's utils.py
BEIT = IMAGENET | ADAMW | BICUBIC | {
    "encoder.relative_bias": "shared", "encoder.positions": "none", "encoder.qkv_bias": "qv",
    "encoder.weight_init": "beit", "encoder.width": 768, "encoder.depth": 12,
}  # fmt: skip
JITTER = {"augment.a.brightness": 0.4, "augment.a.contrast": 0.4, "augment.a.saturation": 0.4,
          "augment.a.hue": 0.0, "augment.a.jitter": 1.0, "augment.a.grayscale": 0.0,
          "augment.a.blur": 0.0}  # fmt: skip
SIMMIM = IMAGENET | ADAMW | BILINEAR | rates(4e-4, start=2e-6, end=4e-5) | steps(
    0.999, 0.05, clip=5.0
) | lengths(2048, 800, 10) | {
    "crops.scale": (0.67, 1.0), "augment": {}, "encoder.drop_path": 0.1,
    "optimizer.schedule.milestones": (700 / 800,), "optimizer.schedule.factor": 0.1,
}  # fmt: skip
M3I = IMAGENET | ADAMW | rates(1e-3) | steps(0.95, 0.1, clip=1.0) | {
    "encoder.drop_path": 0.1, "objective.hidden": 0.5, "objective.label_smoothing": 0.1,
    "target.momentum": 0.995, "target.end": 1.0, "weighting.gamma": 1.0,
    "decoders.image.width": 768, "decoders.image.depth": 4, "decoders.image.heads": 16,
}  # fmt: skip
CIM = IMAGENET | ADAMW | CLOSED | BICUBIC | rates(1.5e-3, end=1e-5) | lengths(
    2048, 300, 10
) | steps(0.98, 0.05, clip=3.0) | {
    "crops.scale": (0.08, 1.0), "augment": {}, "hidden": 100, "encoder.drop_path": 0.0,
    "towers.generator.depth": 4, "towers.generator.positions": "learned",
}  # fmt: skip
FINE = IMAGENET | ADAMW | BICUBIC | lengths(1024, 100, 5) | {
    "crops.scale": (0.08, 1.0), "crops.rand_augment.magnitude": 9.0,
    "crops.rand_augment.deviation": 0.5, "objective.mixup": 0.8, "objective.cutmix": 1.0,
    "objective.per": "batch", "objective.label_smoothing": 0.1, "encoder.drop_path": 0.1,
    "encoder.final_norm": False, "decoders.category.norm": "layer",
    "decoders.category.pool": "mean", "towers.category.deviation": 2e-5,
    "towers.category.bias": True,
}  # fmt: skip
ERASED = {"encoder.positions": "tuned", "augment.a.erasing": 0.25,
          "augment.a.jitter": 0.0, "augment.a.grayscale": 0.0,
          "augment.a.blur": 0.0, "optimizer.layer_decay": 0.65}  # fmt: skip
WHOLE = {"optimizer.schedule.whole": True}  # timm's CosineLRScheduler without a prefix
TIMM = {k: x for k, x in FINE.items() if k[:5] in ("crops", "objec")} | {
    "augment.a.erasing": 0.25,
    "augment.a.jitter": 0.0,
}  # a RandAugment takes the colours' place
SIMMIM_FINE = IMAGENET | ADAMW | WHOLE | TIMM | rates(5e-3, start=1e-6, end=1e-6) | steps(
    0.999, 0.05, clip=5.0) | lengths(2048, 100, 20) | {"encoder.drop_path": 0.1}  # fmt: skip
WINDOWS = {"encoder.window": 14, "encoder.pretrained_window": (12, 12, 12, 6)}
SECRETS = ADAMW | TIMM | WINDOWS | {
    "image": 224, "augment.a.brightness": 0.4, "augment.a.contrast": 0.4,
    "augment.a.saturation": 0.4}  # fmt: skip
INTERN = ADAMW | WHOLE | {
    "augment": {}, "crops.scale": (0.08, 1.0), "crops.rand_augment.magnitude": 9.0,
    "crops.rand_augment.deviation": 0.5, "objective.label_smoothing": 0.3}  # fmt: skip
CROP = {"monitor.ratio": 0.95}
RESNET = IMAGENET | ADAMW | CLOSED | BICUBIC | CROP | rates(12e-3, end=1e-6) | {
    "batch": 2048, "warmup": "5 epochs", "objective.cutmix": 1.0, "objective.binary": True,
    "optimizer.b2": 0.999, "optimizer.layer_decay": None, "monitor.size": 224,
}  # fmt: skip
LINEAR = IMAGENET | lengths(16384, 90, 10) | {
    "optimizer.name": "lars", "optimizer.momentum": 0.9, "optimizer.trust": 0.001,
    "optimizer.weight_decay": 0.0, "augment": {}, "encoder.drop_path": 0.0,
    "towers.category.deviation": 0.01, "decoders.category.norm": "running",
}  # fmt: skip

ADE20K = ADAMW | {
    "image": 512, "warmup": "1500 steps", "crops.base": (2048, 512), "crops.scale": (0.5, 2.0),
    "crops.most": 0.75, "crops.flip": 0.5, "augment.a.distortion": 1.0, "objective.classes": 150,
    "data.reduce_zero": True, "optimizer.schedule.name": "polynomial",
    "rate.end": 0.0}  # fmt: skip
BY_FACTOR = {"optimizer.schedule.scaled": True}  # mmcv's lr_config, of "poly" and warmup="linear"
TAPS = {"objective.blocks": (4, 6, 8, 12), "decoders.segmentation.width": 768}
UPERNET = {"objective.auxiliary": 0.4, "decoders.segmentation.name": "upernet",
           "decoders.auxiliary.width": 256, "decoders.auxiliary.map": 2}  # fmt: skip
PROBE = ADAMW | BY_FACTOR | {
    "batch": 16, "optimizer.freeze": "^encoders/image/", "encoder.drop_path": 0.0,
    "optimizer.schedule.name": "cosine"}  # fmt: skip
GEOMETRIC = ADAMW | steps(0.999, 0.05) | {  # Swin-B's
    "optimizer.layer_decay": 0.9, "encoder.drop_path": 0.3, "rate": 5e-4,
    "encoder.pretrained_window": (12, 12, 12, 6)}  # fmt: skip
MIM_DEPTH = GEOMETRIC | rates(5e-4, end=3e-5) | {
    "batch": 24, "duration": "25 epochs", "encoder.shift": (True, True, False, False),
    "crops.base": None, "crops.flip": 0.5, "crops.cut_depth": 0.25, "objective.variance": 0.5,
    "optimizer.schedule.power": 0.9, "optimizer.schedule.summit": (25 // 2) / 25,
    "augment.a.brightness": 0.2, "augment.a.saturation": 30 / 255,
    "augment.a.hue": 20 / 180}  # fmt: skip
POSE = GEOMETRIC | rates(5e-4, start=5e-7, end=5e-5) | {
    "image": 256, "batch": 512, "duration": "150 epochs", "crops.rotation": 40.0,
    "crops.scale": (0.5, 1.5), "crops.half_body": 0.3, "crops.flip": 0.5,
    "optimizer.schedule.milestones": (120 / 150,), "augment.a.hue": 0.2,
    "augment.a.saturation": 0.4, "augment.a.contrast": 0.4,
    "augment.a.brightness": 0.4}  # fmt: skip
VITPOSE = ADAMW | steps(0.999, 0.1, clip=1.0) | rates(5e-4, start=5e-7, end=5e-6) | {
    "image": 256, "crops.width": 192, "encoder.image": (256, 192), "batch": 512,
    "duration": "210 epochs", "warmup": "500 steps", "optimizer.layer_decay": 0.75,
    "optimizer.schedule.milestones": (170 / 210, 200 / 210), "encoder.drop_path": 0.3,
    "encoder.class_token": False, "objective.points": 17, "objective.sigma": 2.0,
    "crops.padding": 1.25, "crops.shift": 0.16, "crops.shift_share": 0.3,
    "crops.rotation": 80.0, "crops.rotation_share": 0.6, "augment": {}}  # fmt: skip

CIM_FINE = FINE | CLOSED | CROP | {"optimizer.layer_decay": 0.8}

PUBLISHED = [
    ("imagenet/mae_vit_b16", "facebookresearch/mae PRETRAIN.md, main_pretrain.py, models_mae.py",
     MAE | rates(2.4e-3) | steps(0.95, 0.05) | lengths(4096, 1600, 40) | {
         "hidden": 147, "encoder.drop_path": 0.0, "decoders.image.width": 512,
         "decoders.image.depth": 8, "decoders.image.heads": 16,
         "target.normalization": "patch"}),
    ("imagenet/maskfeat_vit_b16", "facebookresearch/SlowFast configs/masked_ssl, defaults.py",
     IMAGENET | ADAMW | BICUBIC | rates(1.6e-3, start=1e-6, end=1e-6)
     | steps(0.999, 0.05, clip=0.02) | lengths(2048, 300, 30) | {
         "crops.scale": (0.5, 1.0), "augment": {}, "hidden": 78, "target.cell": 8,
         "encoder.drop_path": 0.0, "encoder.positions": "learned"}),
    ("imagenet/ijepa_vit_h14", "facebookresearch/ijepa configs/in1k_vith14_ep300.yaml",
     ADAMW | BILINEAR | rates(1e-3, start=2e-4, end=1e-6) | steps(0.999, 0.04)
     | lengths(2048, 300, 40) | {
         "image": 224, "crops.scale": (0.3, 1.0), "crops.flip": 0.0, "augment": {},
         "optimizer.weight_decay_end": 0.4, "target.momentum": 0.996, "target.end": 1.0,
         "encoder.patch": 14, "decoders.image.depth": 12, "decoders.image.width": 384}),
    ("imagenet/pixio_vit_b16", "lightly-ai/lightly benchmarks/imagenet/vitb16/pixio.py",
     ADAMW | BICUBIC | rates(1.5e-4) | steps(0.95, 0.05) | lengths(256, 100, 40) | {
         "image": 256, "crops.scale": (0.2, 1.0), "augment": {}, "hidden": 192,
         "encoder.positions": "sincos",
         "objective.unit": 4, "decoders.image.width": 512, "decoders.image.depth": 32,
         "target.normalization": "patch"}),
    ("imagenet/capi_vit_l14", "facebookresearch/capi default_pretrain_config.yaml",
     IMAGENET | ADAMW | BICUBIC | CLOSED | rates(1e-3) | steps(0.95, 0.1) | {
         "epoch_size": 0, "batch": 16384, "duration": "500000 steps",
         "warmup": "50000 steps", "hidden": 166,
         "crops.scale": (0.6, 1.0), "augment": {}, "encoder.depth": 24, "encoder.width": 1024,
         "encoder.drop_path": 0.2, "encoder.drop_path_schedule": "uniform",
         "decoders.clusters.out": 16384, "decoders.image.depth": 12,
         "optimizer.stretch": (50_000 + 450_000 / 0.8) / 500_000, "target.momentum": 0.999}),
    ("imagenet/cae_vit_b16", "Chen et al. (2022), section 4 and appendix",
     IMAGENET | ADAMW | BICUBIC | CLOSED | rates(1.5e-3, end=1e-5) | steps(0.999, 0.05, clip=3.0)
     | lengths(2048, 1600, 40) | {
         "crops.scale": (0.08, 1.0), "augment": {}, "objective.weight": 2.0,
         "encoder.layer_scale": 0.1, "encoder.drop_path": 0.1, "decoders.regressor.depth": 4,
         "decoders.words.depth": 4}),
    ("imagenet/milan_vit_b16", "zejiangh/MILAN README.md, main_pretrain.py",
     MAE | rates(2.4e-3) | steps(0.95, 0.05) | lengths(4096, 400, 40) | {
         "hidden": 147, "decoders.image.width": 512, "decoders.image.depth": 8,
         "decoders.image.heads": 16}),
    ("imagenet/siamese_im_vit_b16", "OpenGVLab/Siamese-Image-Modeling configs/pretrain",
     IMAGENET | ADAMW | BICUBIC | rates(1e-3) | steps(0.95, 0.05, clip=1.0)
     | lengths(4096, 1600, 40) | {
         "crops.scale": (0.08, 1.0), "hidden": 118, "objective.negative_weight": 0.02,
         "target.momentum": 0.995, "target.end": 1.0, "encoder.drop_path": 0.0,
         "augment.a.blur": 0.1, "augment.a.solarize": 0.2, "augment.b.blur": 1.0,
         "augment.b.solarize": 0.0, "decoders.projector.depth": 2, "decoders.image.depth": 4,
         "decoders.image.width": 768}),
    ("imagenet/simmim_vit_b16", "microsoft/SimMIM configs/vit_base__800ep, main_simmim.py",
     SIMMIM | {"hidden": 30 * 4, "encoder.layer_scale": 0.1, "encoder.relative_bias": "shared"}),
    ("imagenet/simmim_swin_v2_b", "microsoft/Swin-Transformer configs/simmim",
     SIMMIM | {"image": 192, "hidden": 22, "encoder.window": 12,
               "target.normalization": "window47"}),
    ("imagenet/simmim_replknet_31b", "Xie et al. (2023), supplement C.1",
     SIMMIM | rates(4e-4, end=4e-5) | lengths(2048, 300, 10) | {
         "image": 192, "hidden": 22, "optimizer.schedule.milestones": (260 / 300,)}),
    ("imagenet/beit_vit_b16", "microsoft/unilm beit/README.md, run_beit_pretraining.py",
     BEIT | CLOSED | JITTER | rates(1.5e-3, end=1e-5) | steps(0.999, 0.05, clip=3.0)
     | lengths(2048, 800, 10) | {"crops.scale": (0.08, 1.0), "hidden": 75,
                                 "encoder.layer_scale": 0.1, "encoder.drop_path": 0.1}),
    ("imagenet/beit_v2_vit_b16", "microsoft/unilm beit2/PRETRAINING.md",
     BEIT | CLOSED | JITTER | rates(1.5e-3, end=1e-5) | steps(0.999, 0.05, clip=3.0)
     | lengths(2048, 1600, 10) | {"crops.scale": (0.2, 1.0), "hidden": 75,
                                  "encoder.layer_scale": 0.1, "encoder.drop_path": 0.1,
                                  "decoders.class_branch.layer": 9,
                                  "decoders.class_branch.depth": 2}),
    ("imagenet/data2vec_vit_b16", "facebookresearch/data2vec_vision beit/README.md",
     BEIT | CLOSED | JITTER | rates(2e-3, end=1e-5) | steps(0.999, 0.05, clip=3.0)
     | lengths(2048, 800, 10) | {"crops.scale": (0.08, 1.0), "hidden": 120,
                                 "encoder.layer_scale": 1e-4, "encoder.drop_path": 0.25,
                                 "encoder.attention_dropout": 0.05, "objective.layers": 6,
                                 "target.momentum": 0.9998, "target.end": 0.9998}),
    ("imagenet/feature_distillation_vit_b16",
     "SwinTransformer/Feature-Distillation configs/pretrain, data_fd.py, main_fd.py",
     BEIT | BILINEAR | rates(1.2e-3, start=2e-6, end=2e-5) | steps(0.999, 0.05, clip=3.0)
     | lengths(2048, 300, 10) | {"crops.scale": (0.08, 1.0), "augment": {},
                                 "encoder.layer_scale": 0.1, "encoder.drop_path": 0.2,
                                 "encoder.class_token": True}),
    ("imagenet/vq_kd_vit_b16", "microsoft/unilm beit2/TOKENIZER.md, run_vqkd_training.py",
     IMAGENET | ADAMW | CLOSED | BICUBIC | rates(2e-4, end=1e-5) | steps(0.99, 1e-4)
     | lengths(512, 100, 10) | {"crops.scale": (0.08, 1.0), "augment": {},
                                "objective.vocabulary": 8192,
                                "objective.decay": 0.99, "objective.commitment": 1.0,
                                "encoder.drop_path": 0.0, "encoder.layer_scale": None,
                                "encoder.weight_init": "vq_kd",
                                "encoder.normalization": "inception",
                                "decoders.bottleneck.out": 32, "decoders.dense.depth": 3}),
    ("imagenet/mixed_classification_vit_b16",
     "Touvron et al. (2022), Table 1; facebookresearch/deit README_revenge.md, models_v2.py",
     IMAGENET | BICUBIC | rates(3e-3, start=1e-6, end=1e-5) | lengths(2048, 800, 5) | {
         "image": 192, "crops.scale": (0.08, 1.0), "crops.repeats": 3, "optimizer.name": "lamb",
         "optimizer.weight_decay": 0.05, "optimizer.clip": 1.0, "objective.mixup": 0.8,
         "objective.cutmix": 1.0, "objective.per": "batch", "objective.binary": True,
         "objective.least": 0.0, "objective.label_smoothing": 0.0, "augment.a.exclusive": True,
         "augment.a.brightness": 0.3, "augment.a.jitter": 1.0, "encoder.layer_scale": 1e-4,
         "encoder.drop_path": 0.2, "encoder.drop_path_schedule": "uniform",
         "encoder.weight_init": "deit", "decoders.category.pool": "class",
         "towers.category.deviation": 0.02, "monitor.ratio": 1.0}),
    ("imagenet/m3i_vit_b16", "M3I Table 7", M3I | lengths(4096, 1600, 40)),
    ("yfcc/m3i_vit_b16", "M3I Table 7",
     M3I | {"epoch_size": 15_000_000, "batch": 4096, "duration": "138 epochs",
            "warmup": "3.5 epochs"}),
    ("mixture/m3i_internimage_h", "M3I Table 7",
     M3I | lengths(40_000, 30, 1) | {
         "epoch_size": 442_000_000, "image": 192, "encoder.drop_path": 0.2,
         "encoder.drop_path_schedule": "uniform", "decoders.image.width": 1024,
         "towers.category.size": 21841}),
    ("imagenet/classification_vit_b16", "M3I Tables 3 and 7",
     IMAGENET | ADAMW | rates(1e-3) | steps(0.95, 0.1, clip=1.0) | lengths(4096, 400, 40) | {
         "objective.label_smoothing": 0.1, "encoder.drop_path": 0.1}),
    ("imagenet/cim_vit_b16", "CIM Table 9; end as in the code of BEiT", CIM | {
        "towers.generator.shares": 2, "encoder.layer_scale": None}),
    ("imagenet/cim_resnet50", "CIM Table 9; end as in the code of BEiT",
     {k: x for k, x in CIM.items() if k != "encoder.drop_path"}
     | {"towers.generator.width": 384}),
    ("finetune/cim_vit_b16:respix", "CIM Table 10; microsoft/unilm beit",
     CIM_FINE | rates(3e-3, end=1e-6) | steps(0.999, 0.05)),
    ("finetune/cim_vit_b16:revdet", "CIM Table 10",
     CIM_FINE | rates(5e-3, end=1e-6) | steps(0.999, 0.05)),
    ("finetune/cim_vit_b16:small", "CIM Table 10",
     CIM_FINE | rates(3e-3, end=1e-6) | lengths(1024, 200, 5) | {"encoder.width": 384}),
    ("finetune/cim_resnet50:100", "CIM Table 11", RESNET | {
        "image": 160, "duration": "100 epochs", "optimizer.weight_decay": 0.02,
        "crops.repeats": 1, "crops.rand_augment.magnitude": 6.0, "objective.mixup": 0.1,
        "objective.least": (0.2 - 1e-4) / 0.9, "encoder.drop_path": 0.0}),
    ("finetune/cim_resnet50:300", "CIM Table 11", RESNET | {
        "duration": "300 epochs", "optimizer.weight_decay": 0.02, "crops.repeats": 3,
        "crops.rand_augment.magnitude": 7.0, "objective.mixup": 0.1, "objective.least": 0.2,
        "encoder.drop_path": 0.0}),
    ("finetune/cim_resnet50:600", "CIM Table 11", RESNET | {
        "duration": "600 epochs", "optimizer.weight_decay": 0.01, "crops.repeats": 3,
        "crops.rand_augment.magnitude": 7.0, "objective.mixup": 0.2,
        "objective.least": (0.2 - 1e-4) / 0.9, "encoder.drop_path": 0.05}),
    ("finetune/vit_b16", "M3I Table 8; facebookresearch/mae main_finetune.py",
     FINE | ERASED | rates(2e-3, end=1e-6) | steps(0.999, 0.1)),
    ("finetune/vit_b16:mae", "facebookresearch/mae FINETUNE.md",
     FINE | ERASED | rates(2e-3, end=1e-6) | steps(0.999, 0.05)),
    ("finetune/vit_b16:siamese_im", "OpenGVLab/Siamese-Image-Modeling configs/finetune",
     FINE | ERASED | rates(1e-3, end=1e-6) | steps(0.999, 0.05)),
    *[(f"finetune/mae_vit_l16:{size}", "facebookresearch/mae FINETUNE.md", FINE | ERASED
       | rates(4e-3, end=1e-6) | steps(0.999, 0.05) | lengths(1024, 50, 5) | {
           "optimizer.layer_decay": 0.75, "encoder.drop_path": drop, "encoder.width": width})
      for size, drop, width in (("large", 0.2, 1024), ("huge", 0.3, 1280))],
    *[(f"finetune/beit_vit_b16:{size}",
       "microsoft/unilm beit/get_started_for_image_classification.md, run_class_finetuning.py",
       FINE | CLOSED | rates(rate, end=1e-6) | steps(0.999, 0.05) | lengths(1024, *epochs) | {
           "augment.a.erasing": 0.25, "optimizer.layer_decay": layers, "encoder.drop_path": drop,
           "encoder.layer_scale": scale, "encoder.relative_bias": "layer",
           "encoder.positions": "none", "encoder.qkv_bias": "qv"})
      for size, rate, epochs, layers, drop, scale in (
          ("base", 4e-3, (100, 20), 0.65, 0.1, 0.1), ("large", 1e-3, (50, 5), 0.75, 0.2, 1e-5))],
    ("finetune/simmim_vit_b16", "microsoft/SimMIM configs/vit_base__800ep, config.py",
     SIMMIM_FINE | {"optimizer.layer_decay": 0.65, "encoder.relative_bias": "layer",
                    "encoder.layer_scale": 0.1, "decoders.category.norm": "layer"}),
    ("finetune/simmim_swin_v2_b", "microsoft/Swin-Transformer configs/simmim, config.py",
     SIMMIM_FINE | WINDOWS | {"optimizer.layer_decay": 0.75}),
    ("finetune/replknet_31b", "Xie et al. (2023), supplement C.1; microsoft/SimMIM config.py",
     SIMMIM_FINE | {"optimizer.layer_decay": 0.8, "encoder.small_kernel": None}),
    ("finetune/internimage_h", "M3I appendix B.2; OpenGVLab/InternImage classification/configs",
     INTERN | rates(3e-5, start=3e-8, end=3e-7) | steps(0.999, 1e-8, clip=5.0)
     | lengths(512, 30, 0) | {
         "image": 224, "optimizer.layer_decay": 0.8, "encoder.drop_path": 0.6,
         "average.momentum": 0.9998, "average.end": 0.9998}),
    ("finetune/internimage_h:640", "OpenGVLab/InternImage classification/configs",
     INTERN | rates(2e-5) | steps(0.999, 0.05, clip=5.0) | lengths(512, 20, 2) | {
         "image": 640, "optimizer.layer_decay": 0.9, "encoder.drop_path": 0.2,
         "average.momentum": 0.9999, "average.end": 0.9999}),
    *[(f"finetune/dark_secrets_swin_v2_b:{name}", "Xie et al. (2023), supplement, Table 6",
       SECRETS | rates(rate) | steps(0.999, decay, clip=5.0) | lengths(2048, epochs, 20) | {
           "optimizer.layer_decay": layers, "encoder.drop_path": drop,
           "epoch_size": 437_513 if "inat" in name else 0,
           "towers.category.size": 8142 if "inat" in name else 1000})
      for name, epochs, layers, rate, decay, drop in (
          ("rand_cog", 300, 1.0, 2e-3, 0.05, 0.5), ("rand_inat", 300, 1.0, 4e-3, 0.1, 0.5),
          ("sup_cog", 100, 0.85, 2e-4, 0.05, 0.2), ("sup_inat", 100, 0.9, 1.6e-3, 0.1, 0.2),
          ("mim_cog", 100, 0.8, 5e-3, 0.05, 0.2), ("mim_inat", 100, 0.75, 1.6e-2, 0.1, 0.2))],
    *[(f"finetune/dark_secrets_swin_v2_b:{name}", "Xie et al. (2023), supplement E, Table 3",
       SECRETS | steps(0.999, 0.05, clip=5.0) | {
           "towers.category.size": size, "encoder.drop_path": drop, "validation.metric": metric,
           "optimizer.layer_decay": 0.85})
      for name, size, drop, metric in (
          ("mim_aircraft", 100, 0.0, "mean_per_class"),
          ("sup_aircraft", 100, 0.2, "mean_per_class"),
          ("mim_pets", 37, 0.0, "mean_per_class"), ("mim_flowers", 102, 0.0, "mean_per_class"),
          ("mim_caltech101", 102, 0.0, "mean_per_class"), ("mim_cars", 196, 0.0, "top1"),
          ("mim_dtd", 47, 0.0, "top1"), ("mim_food101", 101, 0.2, "top1"),
          ("mim_birdsnap", 500, 0.2, "top1"), ("sup_sun397", 397, 0.2, "top1"),
          ("mim_cifar10", 10, 0.2, "top1"), ("mim_cifar100", 100, 0.2, "top1"))],
    ("finetune/linear_vit_b16", "M3I Table 9", LINEAR | rates(3.2)),
    ("finetune/linear_vit_b16:mae", "facebookresearch/mae main_linprobe.py",
     LINEAR | rates(6.4) | {"decoders.category.pool": "class"}),
    ("finetune/linear_vit_b16:siamese_im", "OpenGVLab/Siamese-Image-Modeling configs/linprobe",
     LINEAR | rates(6.4) | {"decoders.category.pool": "mean"}),
    *[(f"finetune/ade20k_vit_b16:{name}", source, ADE20K | rates(rate, start=rate * 1e-6)
       | steps(0.999, 0.05) | {
           "batch": 16, "duration": "160000 steps", "optimizer.layer_decay": layers,
           "optimizer.schedule.power": 1.0, "encoder.drop_path": 0.1, "encoder.final_norm": False,
           "encoder.positions": positions, "encoder.relative_bias": relative,
           "encoder.layer_scale": scale} | more)
      for name, source, rate, layers, positions, relative, scale, more in (
          ("m3i", "M3I Table 12", 1e-4, 0.65, "tuned", "layer", 1.0, UPERNET | TAPS),
          ("mae", "open-mmlab/mmsegmentation configs/mae", 1e-4, 0.65, "tuned", "layer", 1.0,
           UPERNET | TAPS | {"optimizer.schedule.closed": True}),
          ("siamese_im", "Tao et al. (2022)", 1e-4, 0.65, "tuned", "layer", 1.0, UPERNET | TAPS),
          ("beit", "microsoft/unilm beit/semantic_segmentation 12_512_slide_160k_ade20k_pt", 7e-4,
           0.65, "none", "layer", 0.1, UPERNET | TAPS | BY_FACTOR),
          ("cim", "CIM section 3.3", 3e-4, 0.8, "learned", "none", None,
           BY_FACTOR | {"decoders.segmentation.name": "dense_linear",
                        "decoders.segmentation.norm": "none"}))],
    *[(f"finetune/ade20k_resnet50:{k}", "CIM section 3.3; mmsegmentation schedules",
       {key: x for key, x in ADE20K.items() if key[:5] in ("crops", "image", "augme", "objec")}
       | rates(0.01, end=1e-4) | {
           "batch": 16, "duration": f"{k}000 steps", "warmup": "0 steps",
           "optimizer.momentum": 0.9, "optimizer.weight_decay": 5e-4,
           "optimizer.schedule.power": 0.9, "encoder.output_stride": 8,
           "objective.auxiliary": 0.4, "decoders.segmentation.name": "fcn"})
      for k in (160, 80)],
    *[(f"finetune/ade20k_swin_v2_b:{name}", "Xie et al. (2023), supplement F",
       ADE20K | UPERNET | BY_FACTOR | steps(0.999, 0.05) | rates(rate, start=rate * 1e-6) | {
           "image": 640, "crops.base": (2560, 640), "batch": 32, "duration": "80000 steps",
           "encoder.window": 20, "encoder.drop_path": drop, "optimizer.layer_decay": 0.95,
           "decoders.segmentation.norm_in": True})
      for name, rate, drop in (("mim", 1e-4, 0.1), ("sup", 8e-5, 0.3))],
    ("finetune/ade20k_linear_vit_l16",
     "facebookresearch/dinov3 eval/segmentation/configs/config-ade20k-linear-training.yaml",
     {k: x for k, x in ADE20K.items() if "schedule" not in k} | PROBE
     | rates(1e-3, start=1e-9) | steps(0.999, 1e-3) | {
         "duration": "40000 steps", "objective.named": True, "decoders.segmentation.dropout": 0.1}),
    ("finetune/nyu_linear_vit_l16",
     "facebookresearch/dinov3 eval/depth/configs/config-nyu.yaml, schedulers.py, loss.py",
     PROBE | rates(3e-4, start=3e-7, end=3e-4 / 25 / 1000) | steps(0.99, 1e-4, clip=35.0) | {
         "image": 416, "encoder.image": (416, 544), "crops.width": 544, "crops.base": None,
         "duration": "38400 steps", "warmup": "12800 steps", "objective.variance": 1 - 0.15,
         "augment.a.brightness": 0.25, "decoders.depth.max_depth": 10.0}),
    *[(f"finetune/{name}_swin_v2_b", "SwinTransformer/MIM-Depth-Estimation README.md, train.py",
       MIM_DEPTH | {"image": side, "encoder.window": windows, "decoders.depth.max_depth": most})
      for name, side, windows, most in (
          ("nyu", 480, (30, 30, 30, 15), 10.0), ("kitti", 352, (22, 22, 22, 11), 80.0))],
    ("finetune/coco_pose_swin_v2_b", "Xie et al. (2023), supplement F",
     POSE | {"objective.points": 17}),
    ("finetune/crowdpose_swin_v2_b", "Xie et al. (2023), supplement F",
     POSE | {"objective.points": 14}),
    ("finetune/coco_pose_vit_b16", "open-mmlab/mmpose td-hm_ViTPose-base_8xb64-210e_coco-256x192",
     VITPOSE | {"decoders.pose.layers": 2}),
    ("finetune/coco_pose_vit_b16:simple", "open-mmlab/mmpose td-hm_ViTPose-base-simple",
     VITPOSE | {"decoders.pose.name": "simple_decoder"}),
    *[(f"finetune/ade20k_mask2former_swin_v2_b:{name}",
       "Xie et al. (2023), supplement F; facebookresearch/Mask2Former configs/ade20k",
       ADE20K | rates(rate) | steps(0.999, 0.05, clip=0.01) | {
           "batch": 16, "duration": "160000 steps", "warmup": "0 steps", "crops.most": 1.0,
           "encoder.window": 8, "encoder.drop_path": 0.3, "optimizer.schedule.power": 0.9,
           "objective.weights": (2.0, 5.0, 5.0),
           "decoders.segmentation.name": "mask2former", "decoders.segmentation.queries": 100,
           "decoders.segmentation.rounds": 3, "decoders.segmentation.encoder_layers": 6,
           "decoders.segmentation.points": 12544})
      for name, rate in (("mim", 3e-4), ("sup", 1e-4))],
    ("finetune/coco_dino_resnet50", "IDEA-Research/DINO config/DINO/DINO_4scale.py",
     ADAMW | rates(1e-4, end=1e-5) | steps(0.999, 1e-4, clip=0.1) | {
         "batch": 16, "duration": "12 epochs", "warmup": "0 steps", "crops.flip": 0.5,
         "optimizer.schedule.milestones": (11 / 12,), "objective.weights": (1.0, 5.0, 2.0),
         "decoders.detection.queries": 900, "decoders.detection.layers": 6,
         "decoders.detection.encoder_layers": 6, "decoders.detection.temperature": 20.0,
         "decoders.detection.shift": 0.4, "decoders.detection.flips": 0.25,
         "decoders.detection.found": 300}),
    ("finetune/coco_vit_b16", "facebookresearch/detectron2 projects/ViTDet mask_rcnn_vitdet_b",
     rates(1e-4, start=1e-7, end=1e-6) | steps(0.999, 0.1) | {
         "image": 1024, "batch": 64, "duration": "184375 steps", "warmup": "250 steps",
         "optimizer.layer_decay": 0.7, "encoder.drop_path": 0.1, "encoder.window": 14,
         "encoder.global_blocks": (3, 6, 9, 12), "crops.scale": (0.1, 2.0), "crops.flip": 0.5,
         "objective.classes": 80, "decoders.detection.anchors": 256,
         "decoders.detection.regions": 512, "decoders.detection.proposals": 1000,
         "decoders.detection.found": 100, "decoders.detection.score": 0.05,
         "optimizer.schedule.milestones": (163889 / 184375, 177546 / 184375)}),
    *[(f"finetune/coco_swin_v2_b:{name}",
       "Xie et al. (2023), supplement F; SwinTransformer/Swin-Transformer-Object-Detection",
       rates(rate, start=rate / 1000, end=rate / 100) | steps(0.999, 0.05) | {
           "image": 1024, "batch": 32, "duration": "36 epochs", "warmup": "500 steps",
           "crops.scale": (0.1, 2.0), "crops.flip": 0.5, "encoder.window": 14,
           "encoder.drop_path": drop_path, "objective.classes": 80,
           "decoders.detection.proposal_layers": 1, "decoders.detection.box_layers": 0,
           "decoders.detection.products": 2, "decoders.detection.norm": "none",
           "optimizer.schedule.milestones": (27 / 36, 33 / 36)})
      for name, rate, drop_path in (("mim", 8e-5, 0.1), ("sup", 6e-5, 0.3))],
    ("finetune/coco_mask2former_swin_v2_b",
     "facebookresearch/Mask2Former configs/coco/instance-segmentation",
     rates(1e-4, end=1e-6) | steps(0.999, 0.05, clip=0.01) | {
         "image": 1024, "batch": 16, "duration": "368750 steps", "warmup": "0 steps",
         "crops.scale": (0.1, 2.0), "encoder.window": 12, "encoder.drop_path": 0.3,
         "objective.finds": "objects", "objective.classes": 80,
         "objective.weights": (2.0, 5.0, 5.0), "decoders.segmentation.queries": 100,
         "decoders.segmentation.points": 12544, "decoders.segmentation.found": 100,
         "optimizer.schedule.milestones": (327778 / 368750, 355092 / 368750)}),
    ("finetune/coco_dino_internimage_h",
     "M3I appendix B.2; OpenGVLab/InternImage detection/configs/coco/dino_4scale_internimage_h",
     ADAMW | rates(1e-4, start=1e-7, end=0.0) | steps(0.999, 1e-4, clip=0.1) | {
         "duration": "12 epochs", "warmup": "500 steps", "encoder.drop_path": 0.5,
         "crops.flip": 0.5, "optimizer.layer_decay": 0.94, "optimizer.schedule.name": "constant",
         "objective.weights": (1.0, 5.0, 2.0), "decoders.detection.queries": 900,
         "decoders.detection.layers": 6, "decoders.detection.encoder_layers": 6,
         "decoders.detection.temperature": 20.0, "decoders.detection.flips": 0.25,
         "decoders.detection.found": 300}),
    ("finetune/lvis_vit_b16", "facebookresearch/detectron2 projects/ViTDet LVIS; M3I Table 11",
     rates(2e-4, start=2e-7, end=2e-6) | steps(0.999, 0.1) | {
         "image": 1024, "batch": 64, "duration": "156250 steps", "warmup": "250 steps",
         "optimizer.layer_decay": 0.7, "encoder.drop_path": 0.1, "crops.scale": (0.1, 2.0),
         "objective.classes": 1203, "objective.softmax": False, "objective.federated": 50,
         "decoders.detection.softmax": False, "decoders.detection.found": 300,
         "decoders.detection.score": 0.02, "data.repeat_threshold": 0.001,
         "optimizer.schedule.milestones": (138889 / 156250, 150463 / 156250)}),
    ("finetune/track_swin_v2_b", "Xie et al. (2023), supplement F; LitingLin/SwinTrack config/Base",
     rates(5e-4, end=5e-5) | steps(0.999, 1e-4, clip=0.1) | {
         "image": 224, "crops.template": 112, "batch": 160, "duration": "300 epochs",
         "warmup": "3 epochs", "epoch_size": 131072, "crops.search_area": 4.0,
         "crops.template_area": 2.0, "crops.scale": 0.25, "crops.shift": 3.0,
         "decoders.tracking.width": 512, "decoders.tracking.depth": 8,
         "decoders.tracking.heads": 8, "augment.a.brightness": 0.4, "augment.a.grayscale": 0.05,
         "optimizer.schedule.milestones": (210 / 300,), "objective.weight": 1.5}),
    # torchvision's default where the published code states none, Pillow's bicubic where it does.
    ("imagenet/moco_resnet50", "facebookresearch/moco main_moco.py", BILINEAR),
    ("imagenet/moco_v3_vit_b16", "facebookresearch/moco-v3 main_moco.py", BILINEAR),
    ("imagenet/densecl_resnet50", "WXinlong/DenseCL configs/selfsup/densecl", BILINEAR),
    ("imagenet/msn_vit_s16", "facebookresearch/msn src/data_manager.py, deit.py", BILINEAR | DRAWN),
    ("yfcc/clip_vit_b16", "facebookresearch/SLIP main.py", BILINEAR),
    ("yfcc/siglip_vit_b16", "google-research/big_vision inception_crop", BILINEAR),
    ("yfcc/cappa_vit_b16", "google-research/big_vision configs/proj/cappa/pretrain.py",
     ADAMW | BILINEAR | rates(1e-3) | steps(0.999, 0.1, clip=1.0) | {
         "crops.scale": (1.0, 1.0), "crops.ratio": (0.05, 20.0), "augment": {},
         "batch": 8192, "duration": "366500 steps", "warmup": "10000 steps",
         "objective.words": 32000, "captions.length": 64, "decoders.caption.depth": 6,
         "decoders.caption.parallel": 0.75, "encoder.positions": "learned"}),
    ("yfcc/openvision2_vit_l14", "UCSC-VLAA/OpenVision src/configs/openvision2.py, train.sh",
     ADAMW | BILINEAR | rates(8e-6 * 64 * 2) | steps(0.95, 0.2) | {
         "image": 84, "crops.scale": (0.4, 1.0), "crops.flip": 0.0, "batch": 1024 * 16 * 2,
         "duration": f"{10_000 * 1_281_167 // 32768} steps",
         "warmup": f"{40 * 1_281_167 // 32768} steps", "captions.length": 128,
         "objective.words": 32000, "encoder.positions": "sincos", "encoder.patch": 14,
         "encoder.drop_path": 0.0, "decoders.caption.keep": 0.35, "decoders.caption.depth": 12,
         "decoders.caption.width": 768}),
    ("imagenet/dino_vit_s16", "facebookresearch/dino main_dino.py", BICUBIC | DRAWN),
    ("imagenet/ibot_vit_s16", "bytedance/ibot main_ibot.py", BICUBIC | DRAWN),
    ("imagenet/dinov2_vit_l16", "facebookresearch/dinov2 vitl16_short.yaml", BICUBIC | DRAWN),
    ("imagenet/dinov3_vit_l16", "facebookresearch/dinov3 README.md, configs/train/dinov3_vitl16",
     IMAGENET | ADAMW | BICUBIC | CLOSED | DRAWN | rates(1e-3 * 2**0.5, end=1e-6) | {
         "epoch_size": 0, "batch": 2048, "encoder.positions": "rope", "encoder.rope_base": 100.0,
         "objective.methods.dinov2.untied": True, "objective.methods.dinov2.sinkhorn": 3,
         "decoders.prototypes.out": 65536, "decoders.patch_prototypes.out": 65536}),
    ("imagenet/dinov3_vit_l16:gram", "Siméoni et al. (2025), section 4; its code",
     rates(3e-5, end=3e-5) | {
         "objective.gram": 2.0, "objective.refresh": 10_000,
         "objective.methods.dinov2.target.momentum": 0.999}),
    ("imagenet/barlow_twins_resnet50", "facebookresearch/barlowtwins main.py", BICUBIC),
    ("imagenet/simsiam_resnet50", "facebookresearch/simsiam main_simsiam.py", BILINEAR),
    ("imagenet/vicreg_resnet50", "facebookresearch/vicreg augmentations.py", BICUBIC),
    *[(f"imagenet/{name}_vit_s16", "lightly-ai/lightly benchmarks/imagenet/vitb16",
       IMAGENET | ADAMW | BICUBIC | DRAWN | rates(rate, start=rate / 100, end=rate / 1000)
       | lengths(256, 100, 1) | steps(0.999, 0.05) | {
           "crops.scale": (0.3, 1.0), "crops.local_scale": (0.05, 0.3), "crops.local_size": 96,
           "encoder.drop_path": 0.1, "encoder.positions": "learned", "objective.local": 6,
           "objective.weight": weight, "objective.slices": slices, "decoders.projector.out": out,
           "augment.a.blur": 0.5, "augment.b.solarize": 0.2, "augment.local.solarize": 0.2})
      for name, rate, weight, slices, out in (
          ("lejepa", 5e-4, 0.05, 1024, 64), ("visreg", 9e-4, 0.9, 2048, 256))],
    ("imagenet/swav_resnet50", "facebookresearch/swav main_swav.py, resnet50.py",
     BILINEAR | CLOSED | rates(4.8, start=0.3, end=4.8e-3) | {"encoder.zero_init": False}),
    ("imagenet/nnclr_resnet50", "Dwibedi et al. (2021), section 4.1", BICUBIC),
    ("imagenet/simclr_resnet50", "google-research/simclr data_util.py", BICUBIC),
    ("imagenet/supcon_resnet50", "google-research/supcon scripts, hparams.py, preprocessing.py",
     IMAGENET | BILINEAR | rates(0.4 * 24) | lengths(6144, 350, 12) | {
         "optimizer.weight_decay": 1e-3, "optimizer.momentum": 0.9, "optimizer.trust": 0.001,
         "objective.temperature": 0.1, "decoders.projector.out": 128,
         "encoder.zero_init": True, "crops.scale": (0.08, 1.0), "augment": {}}),
    ("imagenet/byol_resnet50", "google-deepmind/deepmind-research byol/utils/dataset.py", BICUBIC),
]  # fmt: skip


def load(name):
    stem, _, argument = name.partition(":")
    return Config.of(cli.load(stem + (f":{argument}" if argument else "")))


def defaults(fn):
    """Keywords of a function that have a default, and it."""
    parameters = inspect.signature(fn).parameters.items()
    return {name: p.default for name, p in parameters if p.default is not p.empty}


def told(config):
    """{key: number} of a config, with what it leaves to the functions behind its blocks."""
    block = config.optimizer
    blocks = config.to_dict() | {
        "crops": defaults(kinds.VIEWS[kinds.named(config.crops)]) | config.crops,
        "optimizer": defaults(optimizer.offered()[block["name"]]) | block | _scheduled(block),
        "decoders": {name: _head(fields) for name, fields in config.decoders.items()},
        "objective": defaults(methods.METHODS[config.objective["name"]]) | config.objective,
        "encoder": fields(config.encoder, config.image),
        "target": defaults(framework.ema) | config.target,
    }
    rate = block | {"schedule": block.get("schedule", "cosine")}
    schedule = rate["schedule"] if isinstance(rate["schedule"], dict) else {}
    peak = schedules.peak_rate(batch=config.batch, lr=block.get("lr"), base_lr=block.get("base_lr"))
    passed = schedule.get("factor", 0.1) ** len(schedule.get("milestones", ()))
    end = peak * passed if "milestones" in schedule else block.get("end_lr", 0.0)
    flat = dict(_flat(blocks)) | {"rate": peak, "rate.end": end}
    return flat | {"rate.start": schedule.get("start", 0.0), "augment": config.augment}


def _scheduled(block):
    """The schedule of an optimiser that names some of its fields, and all of them."""
    own = block.get("schedule", "cosine")
    if isinstance(own, str):
        return {}
    return {"schedule": defaults(schedules.SCHEDULES[own["name"]]) | own}


def _head(block):
    """A decoder's fields; all of them, of a head of dense tasks."""
    head = HEADS.get(block["name"])
    return (defaults(head) if head else {}) | block


def fields(block, image):
    """All fields of the encoder that a block describes."""
    options = dict(block)
    module = encoders.create(options.pop("name"), **({"image": image} | options))
    return {name: getattr(module, name) for name in module.__dataclass_fields__}


def same(ours, theirs):
    """Equal, numbers and tuples of them but for rounding."""
    numbers = isinstance(theirs, int | float | tuple) and isinstance(ours, int | float | tuple)
    return ours == (pytest.approx(theirs, rel=1e-12) if numbers else theirs)


def _flat(block, path=""):
    for name, value in block.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{path}{name}.")
        else:
            yield path + name, tuple(value) if isinstance(value, list) else value


@pytest.mark.parametrize("name, source, wanted", PUBLISHED, ids=[line[0] for line in PUBLISHED])
def test_a_recipe_has_the_published_numbers(name, source, wanted):
    config = load(name)
    found, wanted = told(config), dict(wanted)
    hidden = wanted.pop("hidden", None)
    wrong = {
        key: (found.get(key, "nothing"), number)
        for key, number in wanted.items()
        if not same(found.get(key, "nothing"), number)
    }
    assert not wrong, f"{source}: {{key: (ours, theirs)}} = {wrong}"
    if hidden is not None:
        method = assemble.objective(config)
        towers = assemble.build_network(config, method).towers
        masked = [code for code in method.encoded.values() if code.mask is not None]
        for code in masked:
            grid = towers[code.encoder.tower].grid
            assert grid[0] * grid[1] - code.mask.count(grid) == hidden
        assert masked


def test_every_recipe_has_a_line():
    """But those that no one has published: SigLIP's data, VQ-VAE's, Table 2's forms, small data."""
    lines = {name.partition(":")[0] for name, _, _ in PUBLISHED}
    recipes = {name for name in shipped.names() if not SMALL.search(name)}
    ours = {"imagenet/table2_vit_b16", "imagenet/vq_vae_vit_b16"}
    ours |= {"finetune/small", "finetune/light"}
    ours |= {f"finetune/{name}" for name in ("segmentation", "depth", "pose", "detection")}
    assert recipes - lines == ours


def test_a_fine_tuned_vit_has_the_parameters_of_the_published_one(key):
    """ViT-B/16 with 1000 classes: the norm of the mean token in place of the last one."""
    config = load("finetune/vit_b16")
    network = assemble.build_network(config, assemble.objective(config))
    shapes = jax.eval_shape(network.init, key)
    assert trees.count(shapes) == 86_567_656


def test_the_grid_of_kornblith_s_sets_is_the_published_one():
    """Five rates about equally spaced in their logarithm, three layer decays (supplement E)."""
    from m3i_jax.configs.finetune import dark_secrets_swin_v2_b as grid

    np.testing.assert_allclose(grid.RATES["mim"], np.geomspace(1.25e-4, 2.5e-3, 5), rtol=1e-12)
    np.testing.assert_allclose(grid.RATES["sup"], np.geomspace(2.5e-5, 5e-4, 5), rtol=1e-12)
    assert grid.LAYERS == (0.75, 0.85, 0.95) and len(grid.SETS) == 11


@pytest.mark.parametrize(
    "name",
    [
        "nyu_swin_v2_b", "ade20k_vit_b16", "ade20k_linear_vit_l16", "ade20k_mask2former_swin_v2_b",
        "coco_mask2former_swin_v2_b", "coco_dino_internimage_h",
    ],
)  # fmt: skip
def test_rates_of_dense_recipes_are_those_of_their_layers(name, key):
    """mmsegmentation's LayerDecayOptimizerConstructor, and MIM-Depth's, whose mergings count."""
    config = load(f"finetune/{name}")
    network = assemble.build_network(config, assemble.objective(config))
    params = jax.eval_shape(network.init, key)
    block = config.optimizer
    own = {k: block.get(k) for k in ("layer_decay", "freeze")}
    by_path = Rules(
        params, no_decay=block.get("no_decay", optimizer.NO_DECAY), late=(), total=10,
        lr_scale=block.get("lr_scale", ()), **own,
    )  # fmt: skip
    groups = dict(trees.named_leaves(by_path.groups(params)))
    for path in groups:
        scale = by_path.scales.get(path, 1.0)
        if name.startswith("nyu"):
            np.testing.assert_allclose(scale, 0.9 ** mim_depth(path), rtol=1e-6, err_msg=path)
        elif "mask2former" in name:  # its BACKBONE_MULTIPLIER
            assert scale == pytest.approx(0.1 if path.startswith("encoders/") else 1.0)
        elif "internimage" in name:
            wanted = 1e-3 if "/sampling_offsets/" in path else 0.94 ** mmdet(path)
            # Norms between blocks are in layers of their own number, which a factor is the mean of.
            far = 0.14 if "/post_norms/" in path else 1e-6
            np.testing.assert_allclose(scale, wanted, rtol=far, err_msg=path)
        elif name.startswith("ade20k_vit"):
            np.testing.assert_allclose(scale, 0.65 ** mmseg(path), rtol=1e-6, err_msg=path)
        else:
            frozen = path.startswith("encoders/")
            assert (groups[path] == "freeze") == frozen


def mim_depth(path):
    """`num_layers - layer_id - 1` of get_num_layer_for_swin, of 2, 2, 18, 2 and three mergings."""
    if not path.startswith("encoders/image/") or path.startswith("encoders/image/norm/"):
        return 0
    if "/patch_embed/" in path:
        return 28
    stage, before = int(path.split("stages_")[1][0]), (0, 3, 6, 25)
    if "/downsample/" in path:
        return 28 - before[stage + 1]
    return 28 - (before[stage] + 1 + np.arange((2, 2, 18, 2)[stage]))


def mmdet(path):
    """`num_layers - layer_id - 1` of InternImage's get_num_layer_for_swin, of 6, 6, 32 and 6."""
    if not path.startswith("encoders/image/"):
        return 0
    if "/patch_embed/" in path:
        return 51
    stage, before = int(path.split("stages_")[1][0]), (0, 6, 12, 44)
    if "/post_norms/" in path:
        return 51 - (before[stage] + 1 + np.arange(5)[:, None])
    if "/blocks/" in path:
        return 51 - (before[stage] + 1 + np.arange((6, 6, 32, 6)[stage]))
    return 51 - (1 + (*before[1:], 44)[stage])


def mmseg(path):
    """The same of get_layer_id_for_vit, of 12 layers."""
    if "/blocks/" in path:
        return 13 - (1 + np.arange(12))
    return 13 if path.startswith("encoders/image/") else 0


def test_a_step_of_a_dense_recipe_has_its_published_rate():
    """PolyLR behind 1500 steps, "poly" of .9 to 1e-4, up and down in 24 of 25 epochs: float64."""

    def rate(name, total, warmup, at):
        block = load(f"finetune/{name}").optimizer
        made = schedules.create(
            block["schedule"], block["lr"], total=total, warmup=warmup,
            end_lr=block.get("end_lr", 0.0),
        )  # fmt: skip
        return float(made(at))

    ade = partial(rate, "ade20k_vit_b16", 160_000, 1500)
    np.testing.assert_allclose(ade(1499), 1e-4, rtol=1e-6)
    np.testing.assert_allclose(ade(80_000), 1e-4 * (1 - 78_500 / 158_500), rtol=1e-5)
    beit = partial(rate, "ade20k_vit_b16:beit", 160_000, 1500)
    np.testing.assert_allclose(beit(750), 7e-4 * (1 - 750 / 160_000) * 0.5, rtol=1e-5)
    fcn = rate("ade20k_resnet50", 160_000, 0, 120_000)
    np.testing.assert_allclose(fcn, 1e-4 + (0.01 - 1e-4) * 0.25**0.9, rtol=1e-5)
    nyu = partial(rate, "nyu_swin_v2_b", 25_000, 0)
    np.testing.assert_allclose(nyu(5999), 3e-5 + 4.7e-4 * 0.5**0.9, rtol=1e-5)
    np.testing.assert_allclose([nyu(11_999), nyu(24_500)], [5e-4, 3e-5], rtol=1e-5)


@pytest.mark.parametrize(
    "name, shape",
    [
        ("ade20k_vit_b16", (512, 512)),
        ("kitti_swin_v2_b", (352, 352)),
        ("nyu_linear_vit_l16", (416, 544)),
        ("coco_pose_vit_b16", (256, 192)),
    ],
)
def test_views_of_dense_recipes_have_the_sides_of_their_encoders(name, shape):
    config = load(f"finetune/{name}")
    views = kinds.of(config.crops, size=config.image, views=("a",))
    image = np.zeros((480, 1241, 3), np.uint8)
    image[:128] = 255  # above KITTI's 352 rows
    rng = np.random.default_rng(0)
    views = [views(Sample(image, 0), rng).images["a"] for _ in range(3)]
    side = fields(config.encoder, config.image)["image"]
    assert (side, side) == shape if isinstance(side, int) else tuple(side) == shape
    assert {view.shape for view in views} == {(*shape, 3)}
    if name.startswith("kitti"):
        assert not any(view.any() for view in views)


def test_colours_of_dense_recipes_leave_as_many_images_as_published(key):
    """Albumentations' half of all; of four changes of a half each a sixteenth, 0 among 36 hues."""
    pixels = jax.random.uniform(key, (4096, 1, 1, 3), minval=0.3, maxval=0.7)
    for name, share in (("nyu_swin_v2_b", 1 / 2), ("ade20k_vit_b16", 1 / 8 * (1 / 2 + 1 / 72))):
        drawn = augment.photometric(key, pixels, **load(f"finetune/{name}").augment["a"])
        left = np.isclose(drawn, pixels, atol=1e-5).all((1, 2, 3)).mean()
        assert abs(left - share) < 4 * (share * (1 - share) / 4096) ** 0.5
