"""The page: one file, in which no name of a class or a file is markup."""

import html.parser
import json

import numpy as np
import pytest

from m3i_jax.analysis.survey import page
from tests.data.survey.figures_test import found  # noqa: F401, a fixture


class Tags(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.outside = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.outside += [v for k, v in attrs if k in ("src", "href") and v[:5] != "data:"]


def test_the_page_asks_for_nothing_and_names_are_text(tmp_path, found):  # noqa: F811
    picture = np.zeros((8, 8, 3), np.uint8)
    drawn = {"images": ("Images <b>", picture), "views": ("Views", None)}
    doubts = ["<script>alert(2)</script>"]
    (tmp_path / "images.png").mkdir()  # as good as a full disk
    with pytest.raises(OSError):
        page.write(tmp_path, found, doubts, drawn)
    (tmp_path / "images.png").rmdir()
    assert [p.name for p in tmp_path.iterdir()] == [page.FIGURES]  # known as ours
    path = page.write(tmp_path, found, doubts, drawn)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data.json", "images.png", "index.html"]
    parsed = Tags()
    parsed.feed(path.read_text())
    assert not {"script", "b"} & {*parsed.tags} and parsed.outside == []
    assert parsed.tags.count("img") == 1 and parsed.tags.count("section") == 2
    assert "&lt;script&gt;alert(1)&lt;" in path.read_text() and "alert(2)" in path.read_text()
    written = json.loads((tmp_path / page.FIGURES).read_text())
    assert written["doubts"] == doubts and written["splits"][0]["readable"] == 8
