"""Image files with annotations: by another decoder, gone, and named where they are broken."""

import numpy as np
import pytest

from m3i_jax.data.sources import protocol
from m3i_jax.data.sources.annotated_files import AnnotatedFiles, Said
from m3i_jax.data.sources.annotations import Annotations
from m3i_jax.data.sources.decoding import decode_image
from m3i_jax.data.sources.gone import Gone
from m3i_jax.data.sources.protocol import Account
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


def test_a_broken_file_is_named_and_a_folder_that_is_gone_too(source, tmp_path):
    before = source.fingerprint(), source.contents()["contents"]
    (tmp_path / "data/0.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"cannot read '.*0.png \(0\)': its content is no"):
        source[0]
    assert source.fingerprint() != before[0] and source.contents()["contents"] != before[1]
    (tmp_path / "data").rename(tmp_path / "away")
    with pytest.raises(Gone):
        source[1]
