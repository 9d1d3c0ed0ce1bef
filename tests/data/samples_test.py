"""The records of the data room and the shape of a source."""

import numpy as np

from m3i_jax.data.samples import Sample, Source


class Three:
    name, classes = "three", ()

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return Sample(np.full((2, 2, 3), index, np.uint8))

    def captions(self):
        return ("", "", "")

    def fingerprint(self):
        return "3"


def test_a_sample_needs_only_an_image():
    sample = Sample(np.zeros((2, 2, 3), np.uint8))
    assert (sample.label, sample.caption, sample.mask, sample.box) == (-1, "", None, None)


def test_captions_are_lines():
    image = np.zeros((1, 1, 3), np.uint8)
    assert Sample(image).captions == () == Sample(image, caption=" \n").captions
    assert Sample(image, caption="a cat\n\na dog").captions == ("a cat", "a dog")


def test_anything_with_the_members_is_a_source():
    assert isinstance(Three(), Source)
    assert not isinstance([Sample(np.zeros((1, 1, 3), np.uint8))], Source)
