"""People with key points, a record each: COCO, CrowdPose, and what is written as these are."""

import functools
from collections.abc import Sequence
from pathlib import Path

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import paired_folders, person_files, urls
from m3i_jax.data.sources.annotated_files import AnnotatedFiles, Said
from m3i_jax.data.sources.annotations import Annotations
from m3i_jax.data.sources.decoding import MAX_PIXELS, Decoder, decoder
from m3i_jax.data.sources.folder_names import ORDER, splits
from m3i_jax.data.sources.person_files import People
from m3i_jax.data.sources.protocol import Account, NoSplit, listed
from m3i_jax.data.sources.split_words import words
from m3i_jax.ranges import Count
from m3i_jax.texts import Filled

FOLDERS = ("annotations", "json", ".")  # where the JSON is: COCO, CrowdPose, others
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
    paired_folders.require(place, split)
    file = _file(place, split, annotations)
    found = Path(urls.local(detections)).expanduser() if detections and split == "test" else None
    people = person_files.detected(found, file) if found else person_files.read(file)
    if not people.records:
        raise ConfigError(f"'{found or file}' has nobody with a box and key points")
    records, base = people.records, _images(place, people, split)
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


def _file(place: Path, split: str, annotations: str | None) -> Path:
    """The JSON file of a split."""
    if annotations is not None:
        file = place / annotations.replace("{split}", split)
        if not file.is_file():
            raise NoSplit(f"there is no file '{file}' of the {split} split")
        return file
    files = [
        file
        for folder in FOLDERS
        for file in sorted((place / folder).glob("*.json"))
        if not OTHERS & {*words(file.stem)}
    ]
    for kind in ORDER[split]:
        fitting = [file for file in files if kind in words(file.stem)]
        if len(fitting) > 1:
            raise ConfigError(
                f"'{place}' has {listed(file.name for file in fitting)}; say which is meant: "
                "data.annotations, with {split} in it for train or test"
            )
        if fitting:
            return fitting[0]
    raise NoSplit(
        f"'{place}' has no JSON file of the {split} split in {', '.join(FOLDERS[:2])} or itself"
    )


def _images(place: Path, people: People, split: str) -> Path:
    """The folder that the names of images begin in: the first that has the first of them."""
    first, outer = people.records[0].file, [place / "images", place]
    by_kind = [splits(folder) for folder in outer if folder.is_dir()]
    inner = [there[kind] for there in by_kind for kind in ORDER[split] if kind in there]
    inner += outer
    for folder in inner:
        if (folder / first).is_file():
            return folder
    raise ConfigError(f"there is no '{first}' in {listed(map(str, inner))}")


def _notes(people: People, file: Path) -> tuple[str, ...]:
    left = ", ".join(f"{count} {reason}" for reason, count in people.left_out.items())
    return (f"left out of '{file}': {left}",) if left else ()
