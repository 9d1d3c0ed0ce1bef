"""People with key points, a record each: COCO, CrowdPose, and what is written as these are."""

import functools
from collections.abc import Sequence
from pathlib import Path

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import coco_json, person_files, urls
from m3i_jax.data.sources.annotated_files import AnnotatedFiles, Said
from m3i_jax.data.sources.annotations import Annotations
from m3i_jax.data.sources.decoding import MAX_PIXELS, Decoder, decoder
from m3i_jax.data.sources.person_files import People
from m3i_jax.data.sources.protocol import Account
from m3i_jax.ranges import Count
from m3i_jax.texts import Filled

OTHERS = {"captions", "instances", "stuff", "panoptic", "info"}  # words of COCO's other files


def keypoints(
    root: Filled,
    *,
    split: str | None = None,
    classes: Sequence[str] | None = None,
    annotations: Filled | None = None,
    detections: Filled | None = None,
    max_pixels: Count = MAX_PIXELS,
    decode: Decoder | None = None,
) -> AnnotatedFiles:
    """Key points of people in COCO's JSON, one record for each person, with the box of it.

    COCO (`annotations/person_keypoints_train2017.json`, `train2017/`) and CrowdPose (`json/`,
    `images/`). Left out are crowds and people without a labelled key point. Places are in pixels
    from the upper left corner, so ½ more than in the file, whose numbers are of pixels.

    Args:
      root: the folder.
      split: "train" or "test", of which val stands in for the latter where there is no test.
      classes: of the training split; images have no labels.
      annotations: the JSON file, from the folder on, with {split} in it for train or test; None =
        the only one of the folder whose name says the split.
      detections: a JSON file of detected boxes; the test split has a record for each, without key
        points.
      max_pixels: larger images are refused from their header.
      decode: bytes -> (H, W, 3) uint8, in place of `decoding.decode_image`.

    Raises:
      NoSplit: there is no such split.
      ConfigError: files are missing, or are none of COCO's.
    """
    place, split = Path(urls.local(root)).expanduser(), split or "train"
    file = coco_json.found(place, split, annotations, others=OTHERS)
    found = Path(urls.local(detections)).expanduser() if detections and split == "test" else None
    people = person_files.detected(found, file) if found else person_files.read(file)
    if not people.records:
        raise ConfigError(f"'{found or file}' has nobody with a box and key points")
    records = people.records
    base = coco_json.images(place, file, records[0].file, split)
    said = Said(
        place,
        [base / one.file for one in records],
        lambda index: Annotations(box=records[index].box, points=records[index].points),
        [file],
        settings=[(one.box.tolist(), one.person[:4]) for one in records] if found else None,
        where=lambda index: f", person {records[index].person.number}",
    )
    return AnnotatedFiles(
        "keypoints",
        said,
        decode=decoder(decode, orientation=False, max_pixels=max_pixels),
        account=Account(0, notes=_notes(people, file)),
        skeleton=people.skeleton,
        people=[one.person for one in records],
        truth=functools.partial(person_files.truth, file),
    )


def _notes(people: People, file: Path) -> tuple[str, ...]:
    left = ", ".join(f"{count} {reason}" for reason, count in people.left_out.items())
    return (f"left out of '{file}': {left}",) if left else ()
