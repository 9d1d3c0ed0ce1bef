"""What of the figures of a data set somebody should think about before a run, as sentences."""

from collections.abc import Iterator

from m3i_jax.data.sources.protocol import listed
from m3i_jax.data.survey.captioned import Captioned
from m3i_jax.data.survey.figures import Figures, Split

UNEVEN = 100  # times as many images as the smallest class has
SMALL = 0.05  # share of images below the crop's size
CUT, UNKNOWN = 0.05, 0.01  # shares of captions and tokens
FEW = 2  # images of a class that are few


def doubts(of: Figures, *, allowed: float = 0.001) -> list[str]:
    """One sentence for each; none is an error.

    allowed: share of a split that may be broken before a run stops, `config.unreadable`.
    """
    said = [sentence for split in of.splits for sentence in _of_split(split, of.crop, allowed)]
    if len(of.splits) == 1:
        said.append(
            "there is no test split: m3i pretrain FOLDER holds out a part of the images, to "
            "measure on; a config says data.name=held_out"
        )
    if of.shared and of.shared.count:
        one, other = of.shared.pairs[0]
        said.append(
            f"{of.shared.count} of the test images have the pixels of training images, as '{one}' "
            f"has those of '{other}': what is measured on them has been trained on"
        )
    return said


def _of_split(of: Split, crop: int, allowed: float) -> Iterator[str]:
    name, read = of.split, max(of.readable, 1)
    if len(of.broken) > max(1, int(allowed * of.looked_at + 1e-9)):
        share = len(of.broken) / of.looked_at
        yield (
            f"{name}: {len(of.broken)} of {of.looked_at} records cannot be read ({share:.2%}); "
            f"config.unreadable allows {allowed:g}. Mend or remove them"
        )
    yield from _of_classes(of)
    if of.smaller > SMALL * read:
        yield (
            f"{name}: {of.smaller} of {of.readable} images are smaller than the crop of {crop} "
            "pixels and would be enlarged; a smaller config.image is closer to them"
        )
    if of.duplicates.count:
        one, other = of.duplicates.pairs[0]
        again = f"{of.duplicates.count} of its images have the pixels of one before them"
        yield f"{name}: {again}, as '{one}' has those of '{other}'"
    if of.several:
        yield (
            f"{name}: more than one frame or page in {of.several} of {of.readable} files; the "
            "first is used"
        )
    if of.captions:
        yield from (f"{name}: {sentence}" for sentence in _of_captions(of.captions))


def _of_classes(of: Split) -> Iterator[str]:
    there = {name: count for name, count in of.classes.items() if count}
    few = [name for name, count in there.items() if count < FEW]
    if of.classes and len(there) < len(of.classes):
        absent = listed(name for name, count in of.classes.items() if not count)
        yield f"{of.split}: no image of {absent}"
    if few and len(few) < len(there):
        yield f"{of.split}: a single image of {listed(few)}"
    if there and max(there.values()) > UNEVEN * min(there.values()):
        high, low = max(there, key=there.get), min(there, key=there.get)
        yield (
            f"{of.split}: classes are uneven, {there[high]} images of '{high}' and {there[low]} "
            f"of '{low}': mean per class says more than top-1"
        )
    if there and of.labelled < of.counted:
        without = f"{of.counted - of.labelled} of {of.counted} images are"
        yield f"{of.split}: {without} without a label, and others have one"


def _of_captions(of: Captioned) -> Iterator[str]:
    if of.cut > CUT * max(of.captions, 1):
        yield (
            f"{of.cut} of {of.captions} captions are longer than config.captions.length="
            f"{of.length} tokens and are cut; the longest has {of.tokens.most:.0f}"
        )
    if of.unknown > UNKNOWN * max(of.parts, 1):
        words = listed(word for word, _ in of.unknown_words)
        yield f"{of.unknown} of {of.parts} tokens are unknown to the tokenizer, as {words}"
