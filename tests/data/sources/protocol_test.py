"""The records of the data package and the shape of a source."""

import numpy as np

from m3i_jax.data.sources import protocol
from m3i_jax.data.sources.protocol import Sample, Source


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


def test_a_source_that_says_nothing_is_labelled_where_it_has_classes():
    assert protocol.account(Three()).labelled == 0
    assert "has no classes" in protocol.unlabelled(Three(), split="train")
    named = Three()
    named.classes = ("a", "b")
    assert protocol.account(named).labelled == 3 and not protocol.unlabelled(named, split="train")
    protocol.require_labels(named, split="test", what="a probe")


def test_a_record_is_read_itself_where_a_source_can_say_so():
    assert protocol.read(Three(), 2).image[0, 0, 0] == 2
    forgiving = Three()
    forgiving.read = lambda index: None
    assert protocol.read(forgiving, 2) is None


def test_lists_of_names_are_short():
    assert protocol.listed("ab") == "'a', 'b'"
    assert protocol.listed("abcde") == "'a', 'b', 'c' and 2 more"
