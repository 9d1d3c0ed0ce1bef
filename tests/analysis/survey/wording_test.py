"""Words for figures."""

import pytest

from m3i_jax.analysis.survey import wording
from m3i_jax.analysis.survey.wording import Bar
from tests.data.survey.figures_test import found  # noqa: F401, a fixture


@pytest.mark.parametrize(
    "count, said",
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (123_456, "123 kB"), (999_600, "1 MB"),
     (1.5e9, "1.5 GB"), (4e15, "4e+03 TB")],
)  # fmt: skip
def test_bytes(count, said):
    assert wording.bytes_said(count) == said


def test_few_classes_have_a_row_each_and_many_are_counted_by_size():
    assert wording.histogram({"a": 2, "b": 5}, most=2) == [Bar("b", 5, "5"), Bar("a", 2, "2")]
    sizes = {f"c{i}": 10 + i % 16 for i in range(160)}
    bars = wording.histogram(sizes, most=12)
    assert [bar.count for bar in bars] == [20] * 8
    assert bars[0] == Bar("10 to 11 images", 20, "20 classes")
    even = wording.histogram({f"c{i}": 7 for i in range(50)}, most=12)
    assert even == [Bar("7 images", 50, "50 classes")]


def test_facts_leave_out_what_is_not_there(found):  # noqa: F811
    train = dict(wording.facts(found.splits[0], crop=32))
    assert train["broken"].startswith("4, such as: cannot read")
    assert train["captions"] == "3, of 2 of 8 images (25%)"
    assert train["classes"].endswith("median 4; 12 with a label, 0 without")
    plain = found.splits[0]._replace(broken=(), captions=None, classes={})
    facts = dict(wording.facts(plain, crop=32))
    assert facts["classes"] == "none; 12 images without a label"
    assert not {"broken", "captions", "looked at"} & facts.keys()
