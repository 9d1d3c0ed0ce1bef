"""Average precision and recall of objects in images, by faster-coco-eval (`m3i_jax[dense]`).

COCO's evaluation (Lin et al. 2014, https://arxiv.org/abs/1405.0312,
https://cocodataset.org/#detection-eval): in every image and category the surest are matched first,
each to the object not yet taken with which it has most in common, intersection over union of boxes
or of masks of at least .5, .55, …, .95; with a crowd it is the part of what was found. AP is the
mean over these thresholds and all categories of the precision at recalls 0, .01, …, 1, AR of the
highest recall. https://github.com/MiXaiLL76/faster_coco_eval. `federated` has LVIS's.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Integer, Real

from m3i_jax.build import ConfigError
from m3i_jax.ranges import Count

# (H, W) booleans, or what `segmentation` is in COCO's files: runs {"size", "counts"}, polygons.
Mask = Bool[np.ndarray, "height width"] | Mapping[str, Any] | Sequence[Sequence[float]]
Foreign = Any  # of another library
AREAS = ("all", "small", "medium", "large")  # pixels²: less than 32², than 96², more


class Images(NamedTuple):
    """All I images of a set, also those without an object.

    number: (I,) whole numbers.   size: (I, 2) height, width; masks need it.
    negative: of each the categories of which somebody has looked and found none.
    not_exhaustive: of each those of which not all objects are labelled. Both of LVIS.
    """

    number: Integer[np.ndarray, " images"]
    size: Integer[np.ndarray, "images 2"] | None = None
    negative: Sequence[Sequence[int]] | None = None
    not_exhaustive: Sequence[Sequence[int]] | None = None


class There(NamedTuple):
    """N labelled objects, of any number of images.

    image: (N,) the image's number.   corners: (N, 4) top, left, bottom, right in pixels.
    category: (N,), from 0.   area: (N,) pixels², of the outline; None = of the mask where
      masks are compared, of the box where boxes are.
    crowd: (N,) whether it is a region of many, who are neither to be found nor wrong; None = none.
    masks: N of them; None = there are boxes alone.
    """

    image: Integer[np.ndarray, " objects"]
    corners: Float[np.ndarray, "objects 4"]
    category: Integer[np.ndarray, " objects"]
    area: Float[np.ndarray, " objects"] | None = None
    crowd: Bool[np.ndarray, " objects"] | None = None
    masks: Sequence[Mask] | None = None


class Found(NamedTuple):
    """M predicted objects, as `There`; of equal scores the first is the surest."""

    image: Integer[np.ndarray, " found"]
    corners: Float[np.ndarray, "found 4"]
    category: Integer[np.ndarray, " found"]
    score: Float[np.ndarray, " found"]
    masks: Sequence[Mask] | None = None


class ObjectScores(NamedTuple):
    """Shares from 0 to 1, NaN where there is nothing to be found.

    ap, ar_100: over ten thresholds.   ap50, ap75: at .5 and .75.   ar_1, ar_10: of the one or ten
      surest of each image and category.   small, medium, large: of objects of less than 32² pixels,
      of less than 96², of more; of an area of exactly that both.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar_1: float
    ar_10: float
    ar_100: float
    ar_small: float
    ar_medium: float
    ar_large: float


class Curves(NamedTuple):
    """What numbers are made of, NaN where a category has no object of a size.

    precision: (T, R, K, A, M) by threshold, recall, category, `AREAS`, how many count in an image.
    recall: (T, K, A, M), the highest.
    """

    precision: Float64[np.ndarray, "thresholds recalls categories areas most"]
    recall: Float64[np.ndarray, "thresholds categories areas most"]


def average_precision(
    there: There, found: Found, images: Images, categories: Count, *, masks: bool = False
) -> ObjectScores:
    """AP and AR of objects over a set of images, as pycocotools counts them.

    Args:
      there: what is there.   found: what was found.   images: the set.
      categories: how many there are.
      masks: whether masks are compared and not boxes. The size of what was found is of them, too.

    Raises:
      ConfigError: faster-coco-eval is not installed.
      ValueError: objects of other images or categories; numbers that are not finite; masks of
        another size than their image, or none.
    """
    return summary(curves(there, found, images, categories, masks=masks))


def curves(
    there: There,
    found: Found,
    images: Images,
    categories: Count,
    *,
    masks: bool = False,
    most: Sequence[int] = (1, 10, 100),
) -> Curves:
    """Precision and recall of every category, see `average_precision`.

    Args:
      most: how many of the surest of an image and category count, in rising order.
    """
    library = loaded()
    checked(there, found, images, categories, masks=masks)
    names = [{"id": number} for number in range(categories)]
    return evaluated(library, there, found, coco_images(images, names), masks=masks, most=most)


def summary(of: Curves) -> ObjectScores:
    """COCO's twelve numbers, of curves at three numbers of objects."""
    precision, recall = of
    sizes = range(1, len(AREAS))
    return ObjectScores(
        mean(precision[:, :, :, 0, -1]),
        mean(precision[0, :, :, 0, -1]),
        mean(precision[5, :, :, 0, -1]),
        *(mean(precision[:, :, :, size, -1]) for size in sizes),
        *(mean(recall[:, :, 0, most]) for most in range(3)),
        *(mean(recall[:, :, size, -1]) for size in sizes),
    )


def by_category(of: Curves) -> Float64[np.ndarray, " categories"]:
    """(K,) AP of each category, NaN of those without an object."""
    return of.precision[:, :, :, 0, -1].mean((0, 1))


def mean(values: Real[np.ndarray, "..."]) -> float:
    """Of those that are numbers; NaN where none is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def run_lengths(mask: Bool[np.ndarray, "height width"]) -> dict[str, Any]:
    """COCO's {"size", "counts"} of (H, W) booleans, its letters as a text.

    Raises:
      ConfigError: faster-coco-eval is not installed.
    """
    coded = loaded().mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": [*map(int, coded["size"])], "counts": coded["counts"].decode("ascii")}


def pixels(runs: Mapping[str, Any]) -> Bool[np.ndarray, "height width"]:
    """(H, W) booleans of COCO's runs; see `run_lengths`."""
    height, width = runs["size"]
    mask = loaded().mask
    return mask.decode(mask.segmToRle(dict(runs), width, height)).astype(bool)


class Library(NamedTuple):
    """Parts of faster_coco_eval: what holds objects, what compares them, runs of pixels."""

    COCO: Foreign
    evaluation: Foreign
    mask: Foreign


def loaded() -> Library:
    """faster_coco_eval, which is asked for where it is used.

    Raises:
      ConfigError: it is not installed.
    """
    try:
        import faster_coco_eval
        from faster_coco_eval.core import mask
    except ImportError as error:
        raise ConfigError(
            "AP of objects needs faster-coco-eval: pip install 'm3i_jax[dense]'"
        ) from error
    return Library(faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster, mask)


def checked(there: There, found: Found, images: Images, categories: int, *, masks: bool) -> None:
    """Refuses what would be left out, or compared, in silence; raises a ValueError."""
    if len(np.unique(images.number)) != len(images.number):
        raise ValueError("an image is named twice")
    if masks and images.size is None:
        raise ValueError("masks are compared in images whose size nobody says")
    for name, part in (("there", there), ("found", found)):
        strange = np.setdiff1d(part.image, images.number)
        if strange.size:
            raise ValueError(
                f"what is {name} is of {strange.size} images that are not of the set, such as "
                f"{strange[0]}"
            )
        odd = part.category[(part.category < 0) | (part.category >= categories)]
        if odd.size:
            raise ValueError(f"what is {name} has category {odd[0]}, of {categories} from 0")
        for field, values in part._asdict().items():
            if field != "masks" and values is not None and not np.isfinite(values).all():
                raise ValueError(f"{field} of what is {name} has numbers that are not finite")
        if (part.corners[:, 2:] < part.corners[:, :2]).any():
            raise ValueError(f"a box of what is {name} has its lower right above or left of it")
        if masks and (part.masks is None or len(part.masks) != len(part.image)):
            raise ValueError(f"what is {name} has not as many masks as objects")
        if masks:
            _check_masks(name, part, images)


def evaluated(
    library: Library,
    there: There,
    found: Found,
    held: dict[str, Any],
    *,
    masks: bool,
    most: Sequence[int],
    federated: bool = False,
) -> Curves:
    """The curves of the library's evaluation, NaN in place of its −1.

    held: images and categories.   federated: whether LVIS's rules hold.
    """
    said, guessed = _truth(there), _found(found)
    if masks:
        sizes = {one["id"]: (one["height"], one["width"]) for one in held["images"]}
        _mask(said, there.masks, sizes, library)
        _mask(guessed, found.masks, sizes, library)
        for one in guessed + (said if there.area is None else []):
            one["area"] = float(library.mask.area(one["segmentation"]))
    truth = library.COCO({**held, "annotations": said})
    other = library.COCO({**held, "annotations": guessed})
    kind = "segm" if masks else "bbox"
    evaluator = library.evaluation(truth, other, iouType=kind, lvis_style=federated)
    evaluator.params.maxDets = [*most]
    evaluator.evaluate()
    evaluator.accumulate()
    both = (np.array(evaluator.eval[name], np.float64) for name in Curves._fields)
    return Curves(*(np.where(x < 0, np.nan, x) for x in both))


def coco_images(images: Images, categories: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What COCO's files say of images and categories; sizes of 0 where nobody asks for them."""
    sizes = np.zeros((len(images.number), 2), int) if images.size is None else images.size
    rows = zip(images.number.tolist(), np.asarray(sizes).tolist(), strict=True)
    said = [{"id": n, "height": height, "width": width} for n, (height, width) in rows]
    return {"images": said, "categories": [*categories]}


def coco_box(corners: Real[np.ndarray, "objects 4"]) -> list[list[float]]:
    """Left, top, width and height of each, as COCO's files have them."""
    top, left, bottom, right = np.float64(corners).T
    return np.stack([left, top, right - left, bottom - top], axis=1).tolist()


def _check_masks(name: str, part: There | Found, images: Images) -> None:
    sizes = dict(zip(images.number.tolist(), np.asarray(images.size).tolist(), strict=True))
    for image, mask in zip(part.image.tolist(), part.masks, strict=True):
        own = mask.shape if isinstance(mask, np.ndarray) else None
        own = mask["size"] if isinstance(mask, Mapping) else own
        if own is not None and [*own] != sizes[image]:
            raise ValueError(
                f"a mask of what is {name} is of {[*own]}, and image {image} of {sizes[image]}"
            )


def _truth(there: There) -> list[dict[str, Any]]:
    """Annotations of COCO; numbers from 1, as 0 is nobody there."""
    boxes = coco_box(there.corners)
    area = np.prod(np.array(boxes).reshape(-1, 4)[:, 2:], 1) if there.area is None else there.area
    crowd = np.zeros(len(there.image), bool) if there.crowd is None else there.crowd
    rows = zip(*(x.tolist() for x in (there.image, there.category, area, crowd)), strict=True)
    return [
        {
            "id": number,
            "image_id": image,
            "category_id": category,
            "bbox": box,
            "area": float(size),
            "iscrowd": int(many),
        }
        for number, ((image, category, size, many), box) in enumerate(
            zip(rows, boxes, strict=True), 1
        )
    ]


def _found(found: Found) -> list[dict[str, Any]]:
    """Results of COCO, with the areas that it gives them."""
    boxes = coco_box(found.corners)
    rows = zip(*(x.tolist() for x in (found.image, found.category, found.score)), strict=True)
    return [
        {
            "id": number,
            "image_id": image,
            "category_id": category,
            "bbox": box,
            "area": box[2] * box[3],
            "score": score,
        }
        for number, ((image, category, score), box) in enumerate(zip(rows, boxes, strict=True), 1)
    ]


def _mask(
    said: list[dict[str, Any]], masks: Sequence[Mask], sizes: Mapping[int, tuple], library: Library
) -> None:
    """Gives each object its runs of pixels."""
    for one, mask in zip(said, masks, strict=True):
        height, width = sizes[one["image_id"]]
        whole = isinstance(mask, np.ndarray)
        one["segmentation"] = (
            run_lengths(mask) if whole else library.mask.segmToRle(mask, width, height)
        )
