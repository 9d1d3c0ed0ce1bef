"""Figures of a folder of which all is known, and as JSON."""

import json

import pytest

from m3i_jax import data
from m3i_jax.data import captions
from m3i_jax.data.survey.figures import figures, to_dict
from m3i_jax.data.survey.split import looked_at
from tests.faulty_folder import MARKUP, made


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    block = {"name": "image_folder", "root": str(made(tmp_path_factory.mktemp("faulty")))}
    train = data.source(block, split="train")
    test = data.source(block, split="test", classes=train.classes)
    splits = [looked_at(train, "train"), looked_at(test, "test")]
    tokenizer = captions.train(text for own in splits[0].captions for text in own)
    return figures("faulty", splits, crop=32, tokenizer=tokenizer)


def test_counts_are_exact(found):
    train, test = found.splits
    assert (train.records, train.looked_at, train.readable) == (12, 12, 8)
    assert [fault.index for fault in train.broken] == [6, 7, 10, 11]
    assert train.classes == {MARKUP: 1, "ant": 7, "bee": 4} and train.labelled == 12
    assert test.classes == {MARKUP: 0, "ant": 2, "bee": 0}
    assert train.width == (40, 40, 400) and train.short_side == (2, 30, 260)
    assert train.smaller == 7 and train.megapixels.most == 0.078
    assert test.bytes == 2 * test.file.median and test.formats == {"PNG": 2}
    assert train.captions.images == 2 and test.captions.unknown_words == (("unseen", 1),)
    assert train.duplicates.count == 1 and train.duplicates.pairs[0][0].endswith("ant/4.jpg")
    assert found.shared.count == 1 and found.shared.pairs[0][1].endswith("ant/2.png")


def test_json_has_every_figure_by_its_name(found):
    written = json.loads(json.dumps(to_dict(found)))
    train = written["splits"][0]
    assert train["height"] == {"least": 2.0, "median": 30.0, "most": 260.0}
    assert train["broken"][2]["reason"].endswith("the file is empty")
    assert train["captions"]["words"][0] == ["buzz", 40]
    assert to_dict(found._replace(shared=None))["shared"] is None
