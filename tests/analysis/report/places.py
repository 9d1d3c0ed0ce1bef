"""Work directories made by hand, a parser of the page, and names that nobody would choose."""

import html.parser
import json
import os

import numpy as np

from m3i_jax import pictures
from m3i_jax.analysis import finding
from m3i_jax.analysis.finding import Finding
from m3i_jax.analysis.measure import Picture
from m3i_jax.evaluation import results
from m3i_jax.evaluation.results import Result

EVIL = "</script><script>alert(1)</script>\"'&<!-- \x00\x1b[31m\u202e\u2028 "
BYTES = os.fsdecode(b"\xff\xfe strange")
CONFIG = {
    "batch": 8,
    "duration": "40 steps",
    "image": 32,
    "seed": 0,
    "data": {"name": "digit_scenes"},
    "encoder": {"name": "vit_nano", "patch": 8},
    "objective": {"name": "mae", "hidden": 0.75},
    "optimizer": {"name": "adamw", "lr": 0.001},
    "log": {"every": 1},
}
VOID = {"img", "input", "meta", "br"}


def metrics(steps=40, **others):
    """Lines as a run logs them."""
    lines = []
    for step in range(1, steps + 1):
        line = {"step": step, "train/loss": 2.0 / step, "train/pixels": 1.0 / step}
        line |= {"information/pixels": -1.0 / step, "health/pixels/spread": 0.9}
        line |= {"optim/lr": 1e-3, "perf/images_per_second": 100.0 + step, "perf/data_wait": 0.25}
        lines.append(line | others)
        if step % 10 == 0:
            probe = {"probe/ema_knn/top1": step / 100, "probe/online_knn/top1": step / 200}
            lines.append({"step": step, **probe})
    return lines


def workdir(folder, *, lines=None, config=CONFIG, images=(), start=True):
    """A folder as a run leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    text = "".join(json.dumps(line) + "\n" for line in metrics() if lines is None)
    text += "".join(json.dumps(line) + "\n" for line in lines or ())
    (folder / "metrics.jsonl").write_text(text)
    if start:
        said = {"step": 0, "total": 40, "time": "2026-01-02T03:04:05+00:00", "devices": 4}
        said |= {"command": "m3i pretrain --workdir=a", "versions": {"jax": "9.9", "device": "abc"}}
        (folder / "starts.jsonl").write_text(json.dumps(said) + "\n")
    for name in images:
        (folder / "images").mkdir(exist_ok=True)
        noise = np.random.default_rng(len(name)).integers(0, 255, (40, 60, 3), dtype=np.uint8)
        pictures.save(noise, folder / "images" / name)
    return folder


def measured(folder, *found):
    """Results of models: (model, share, interval)."""
    write = [
        Result(
            {"eval/linear/top1": value},
            "ema",
            40,
            {},
            {"test": 100},
            model=model,
            data="digits",
            task="linear",
            intervals={"eval/linear/top1": list(ends)},
        )
        for model, value, ends in found
    ]
    return results.write(folder, write)


def found(model="a", measure="attention_distance", form="heads", **how):
    """A finding."""
    values = how.pop("values", {"heads": [[1.0, 2.0], [3.0, 5.0]]})
    base = dict(
        title="Attention distance", unit="pixels", labels={}, protocol={}, counts={"images": 9}
    )
    base |= dict(weights="w", branch="ema", step=40, image=32, data="digits", records="r")
    return Finding(measure, form=form, values=values, model=model, **(base | how))


def looked(folder, *findings, pictures=()):
    """Findings in the file of a folder, the last one with pictures of these captions."""
    drawn = [
        Picture(caption, np.full((12, 12, 3), 10 * i, np.uint8))
        for i, caption in enumerate(pictures)
    ]
    for one in findings:
        finding.write(folder, one, drawn=drawn if one is findings[-1] else ())


class Node:
    """An element of a page: its name, attributes and what is in it."""

    def __init__(self, name, attributes, parent):
        self.name, self.attributes, self.parent = name, attributes, parent
        self.inside, self.texts = [], []

    def all(self, name, **wanted):
        """Elements below, in order, of a name and with these attributes (`class_` has the word)."""
        for one in self.inside:
            if one.name == name and all(one.has(key, value) for key, value in wanted.items()):
                yield one
            yield from one.all(name, **wanted)

    def has(self, key, value):
        own = self.attributes.get(key.rstrip("_").replace("_", "-"))
        if key == "class_":
            return value in (own or "").split()
        return (
            key.rstrip("_").replace("_", "-") in self.attributes if value is True else own == value
        )

    def one(self, name, **wanted):
        (only,) = self.all(name, **wanted)
        return only

    @property
    def text(self):
        """All that is said in it."""
        return "".join(part if isinstance(part, str) else part.text for part in self.texts)


class _Tree(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.root = self.node = Node("", {}, None)

    def handle_starttag(self, name, attributes):
        assert len(dict(attributes)) == len(attributes), f"{name} has an attribute twice"
        new = Node(name, dict(attributes), self.node)
        self.node.inside.append(new)
        self.node.texts.append(new)
        if name not in VOID:
            self.node = new

    def handle_endtag(self, name):
        assert self.node.name == name, f"</{name}> ends <{self.node.name}>"
        self.node = self.node.parent

    def handle_data(self, text):
        self.node.texts.append(text)

    def handle_comment(self, text):
        raise AssertionError("a comment is no part of the page")


def parse(text):
    """The elements of a page; every one that begins must end, in order."""
    tree = _Tree()
    tree.feed(text)
    tree.close()
    assert tree.node is tree.root, f"<{tree.node.name}> does not end"
    return tree.root


def script(page):
    """What the page says to its script."""
    return json.loads(page.one("script", id="data").text)
