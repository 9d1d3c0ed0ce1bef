"""What is gone with its place is no broken record, and is said to be gone."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from m3i_jax.data.sources.gone import Gone
from m3i_jax.data.sources.image_folder import image_folder
from m3i_jax.data.sources.tar_shards import tar_shards
from m3i_jax.data.sources.unreadable import robust
from m3i_jax.data.stream import Stream, Work
from tests.drawn_records import drawn, samples, tar


@pytest.fixture
def photos(tmp_path):
    for number in range(4):
        path = tmp_path / "photos" / "cat" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((2, 2, 3), number, np.uint8)).save(path)
    return tmp_path / "photos"


def moved(folder):
    folder.rename(folder.with_name(f"{folder.name} elsewhere"))


def unmounted(folder):
    """The disk is away, and its folder is there, at every moment: the stream reads on meanwhile."""
    (inside,) = folder.iterdir()
    inside.rename(folder.with_name("elsewhere"))


@pytest.mark.parametrize("leave, why", [(moved, "is gone"), (unmounted, "is empty now")])
def test_a_folder_that_goes_away_ends_the_stream_and_no_record_is_blamed(photos, leave, why):
    source = robust(image_folder(str(photos)), max_share=0.5)
    row = lambda step, index: {"image": source[index].image}  # noqa: E731
    with Stream(Work(row, rows=4), batch=4) as stream:
        next(stream)
        leave(photos)
        with pytest.raises(Gone, match=f"'{photos}' {why}.* the same command goes on"):
            for _ in range(20):  # some batches were read before
                next(stream)
    assert not source.unreadable


def test_a_zip_or_the_folder_of_shards_is_missed_as_well(photos, tmp_path):
    packed = tmp_path / "photos.zip"
    with zipfile.ZipFile(packed, "w") as file:
        file.write(photos / "cat" / "0.png", "cat/0.png")
    tar(tmp_path / "shards" / "0.tar", samples(drawn(2)))
    sources = image_folder(str(packed)), tar_shards(str(tmp_path / "shards"))
    moved(packed)
    moved(tmp_path / "shards")
    for source, place in zip(sources, (packed, tmp_path / "shards"), strict=True):
        with pytest.raises(Gone, match=f"'{place}' is gone"):
            robust(source)[0]


def test_a_file_that_goes_away_alone_is_a_broken_record(photos):
    source = robust(image_folder(str(photos)), max_share=0.5)
    (photos / "cat" / "1.png").unlink()
    assert source[1].image.max() == 2 and [*source.unreadable] == [1]
