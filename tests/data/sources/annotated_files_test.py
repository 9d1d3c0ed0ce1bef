"""Image files with annotations: by another decoder, gone, and named where they are broken."""

import numpy as np
import pytest

from m3i_jax.data.sources import protocol
from m3i_jax.data.sources.annotated_files import AnnotatedFiles, Said
from m3i_jax.data.sources.annotations import Annotations
from m3i_jax.data.sources.decoding import decode_image
from m3i_jax.data.sources.gone import Gone
from m3i_jax.data.sources.protocol import Account
from m3i_jax.data.sources.sample_objects import SampleObjects
from tests.data.sources.dense_files import SIZE, image


@pytest.fixture
def source(tmp_path):
    files = [tmp_path / "data" / f"{n}.png" for n in range(2)]
    for n, file in enumerate(files):
        image(file, n)
    read = lambda index: Annotations(mask=np.full(SIZE, index, np.uint8))  # noqa: E731
    said = Said(tmp_path / "data", files, read, [], where=lambda index: f" ({index})")
    return AnnotatedFiles("some", said, decode=decode_image, account=Account(0))


def test_records_are_images_with_what_is_said(source):
    np.testing.assert_array_equal(source[1].mask, np.ones(SIZE))
    assert list(source.captions()) == ["", ""] and isinstance(source, protocol.Source)
    dark = protocol.decoded_by(source, lambda own: lambda data: own(data) // 2)
    np.testing.assert_array_equal(dark[0].image, source[0].image // 2)
    assert source.encoded(0)[:4] == b"\x89PNG" and source.where(1).endswith("1.png (1)")


def test_boxes_that_leave_their_image_are_cut_off_or_left_out_and_said(tmp_path):
    image(tmp_path / "0.png")
    boxes = np.float32([[-1, 2, 3, 4], [9, 0, 12, 2]])
    objects = SampleObjects(boxes, np.int32([1, 0]), np.zeros(2, bool), np.ones(2, np.float32))
    said = Said(tmp_path, [tmp_path / "0.png"], lambda index: Annotations(objects=objects), [])
    how = dict(decode=decode_image, account=Account(0))
    files = AnnotatedFiles("some", said, object_names=("a", "b"), **how)
    sample = files[0]
    np.testing.assert_array_equal(sample.objects.corners, [[0, 2, 3, 4]])
    assert sample.left_out == "1 objects that are not in the image, or have no area"
    assert files.object_names == ("a", "b")
    assert files.fingerprint() != AnnotatedFiles("some", said, **how).fingerprint()


def test_a_broken_file_is_named_and_a_folder_that_is_gone_too(source, tmp_path):
    before = source.fingerprint(), source.contents()["contents"]
    (tmp_path / "data/0.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"cannot read '.*0.png \(0\)': its content is no"):
        source[0]
    assert source.fingerprint() != before[0] and source.contents()["contents"] != before[1]
    (tmp_path / "data").rename(tmp_path / "away")
    with pytest.raises(Gone):
        source[1]
