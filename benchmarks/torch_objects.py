"""Detectors of torchvision and transformers with a ResNet-50, of random weights, eagerly."""

import importlib.util
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

os.environ["HF_HUB_OFFLINE"] = "1"


class Peer(NamedTuple):
    """cases: "found" and "learned", each a call that returns when it is done."""

    cases: dict[str, Callable[[], Any]]
    parameters: int
    versions: str


def peer(head: str, batch: int, image: int, objects: int, threads: int) -> Peer | None:
    """The peer of a head, on images of noise with so many objects each; None: not installed."""
    needs = ("torch", "torchvision" if head == "mask_rcnn" else "transformers")
    if any(importlib.util.find_spec(name) is None for name in needs):
        return None
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    build = {
        "mask_rcnn": _mask_rcnn,
        "mask2former": _mask2former,
        "dino_detector": _deformable_detr,
    }
    try:
        model, find, learn = build[head](torch, batch, image, objects)
    except (ImportError, RuntimeError) as error:  # torchvision without its operators
        print(f"{needs[-1]}: {str(error).splitlines()[0]}")
        return None
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)

    def found() -> Any:
        model.eval()
        with torch.no_grad():
            return find()

    def learned() -> Any:
        model.train()
        loss = learn()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    versions = ", ".join(f"{name} {_version(name)}" for name in needs)
    count = sum(p.numel() for p in model.parameters())
    return Peer({"found": found, "learned": learned}, count, versions)


def _mask_rcnn(torch, batch, image, objects):
    from torchvision.models import detection
    from torchvision.models.detection import backbone_utils

    body = backbone_utils.resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=torch.nn.BatchNorm2d, trainable_layers=5
    )
    # Of random weights nothing would be found, and few proposals would be objects: then masks cost
    # nothing. So that it has as much to do as on data, all scores pass, and most overlaps.
    model = detection.MaskRCNN(
        body, 81, min_size=image, max_size=image, rpn_post_nms_top_n_train=1000,
        box_score_thresh=0.0, box_fg_iou_thresh=0.02, box_bg_iou_thresh=0.02,
    )  # fmt: skip
    pixels = list(torch.rand(batch, 3, image, image))
    boxes, kinds, masks = things(batch, image, objects)
    targets = [
        {
            "boxes": torch.from_numpy(boxes[n]),
            "labels": torch.from_numpy(kinds[n] + 1),
            "masks": torch.from_numpy(masks[n]),
        }
        for n in range(batch)
    ]
    return model, lambda: model(pixels), lambda: sum(model(pixels, targets).values())


def _mask2former(torch, batch, image, objects):
    import transformers

    config = transformers.Mask2FormerConfig(backbone_config=_resnet(transformers), num_labels=80)
    model = transformers.Mask2FormerForUniversalSegmentation(config)
    pixels = torch.randn(batch, 3, image, image)
    _, kinds, masks = things(batch, image, objects)
    targets = dict(
        mask_labels=[torch.from_numpy(x).float() for x in masks],
        class_labels=[torch.from_numpy(x) for x in kinds],
    )
    return model, lambda: model(pixels), lambda: model(pixels, **targets).loss


def _deformable_detr(torch, batch, image, objects):
    import transformers

    config = transformers.DeformableDetrConfig(
        backbone_config=_resnet(transformers, first=2), two_stage=True, with_box_refine=True,
        num_queries=300, num_labels=80, use_timm_backbone=False, backbone=None,
        use_pretrained_backbone=False,
    )  # fmt: skip
    model = transformers.DeformableDetrForObjectDetection(config)
    pixels = torch.randn(batch, 3, image, image)
    boxes, kinds, _ = things(batch, image, objects)
    low, high = boxes[..., :2], boxes[..., 2:]
    low, high = boxes[..., :2], boxes[..., 2:]
    middle = np.concatenate([low + high, 2 * (high - low)], axis=-1) / (2 * image)
    targets = [
        {
            "boxes": torch.from_numpy(middle[n].astype(np.float32)),
            "class_labels": torch.from_numpy(kinds[n]),
        }
        for n in range(batch)
    ]
    return model, lambda: model(pixels), lambda: model(pixels, labels=targets).loss


def _resnet(transformers, first=1):
    stages = [f"stage{n}" for n in range(first, 5)]
    return transformers.ResNetConfig(out_features=stages)


def things(batch, image, objects):
    """Boxes (B, G, 4) left, top, right, bottom, categories (B, G), masks (B, G, H, W) of these."""
    rng = np.random.default_rng(0)
    ends = np.sort(rng.uniform(0, image, (batch, objects, 2, 2)), axis=2)
    boxes = ends.reshape(batch, objects, 4).astype(np.float32)
    y, x = np.mgrid[:image, :image] + 0.5
    left, top, right, bottom = (boxes[..., n, None, None] for n in range(4))
    masks = (x > left) & (x < right) & (y > top) & (y < bottom)
    return boxes, rng.integers(0, 80, (batch, objects)), masks.astype(np.uint8)


def _version(name: str) -> str:
    return importlib.import_module(name).__version__
