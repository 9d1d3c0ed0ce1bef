"""Sentences of refusal that no other test meets, of configs, data and parts, each provoked once."""

import json
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from m3i_jax import config_file, methods
from m3i_jax.checkpoints import checkpoint
from m3i_jax.commands import (
    _automatic,
)
from m3i_jax.data import captions, epoch
from m3i_jax.data.sources import (
    arrays,
    folder_labels,
    folder_names,
    hf_dataset,
    idx,
    manifest,
    metadata,
    remote,
    table_columns,
    texts,
    zip_paths,
)
from m3i_jax.framework import targets
from m3i_jax.methods import compose
from m3i_jax.nn import relative, windows
from m3i_jax.parallel import launching, replicas
from m3i_jax.training import (
    copies,
    init_from,
    pacing,
    schedules,
)
from m3i_jax.types import Share
from tests.refusals import config, named, refused, written

CONFIGS = {
    "no JSON": (lambda at: config_file.read(str(written(at / "a.json", "{"))), "cannot be read"),
    "no block": (
        lambda at: config_file.read(str(written(at / "a.json", "[]"))),
        "expected a block",
    ),
    "a key of Python's": (
        lambda at: config_file.read(str(written(at / "a.json", '{"__class__": {"__init__": 1}}'))),
        "has a key that none can be: '__init__ cannot be overridden.'",
    ),
    "neither": (lambda at: config_file.written(str(at / "a.txt"), {}, title="t"), "neither Python"),
    "no value": (
        lambda at: config_file.check_overrides(["--config"], "digit_scenes/mae"),
        "lacks its value",
    ),
    "no key in a value": (
        lambda at: config_file._check_key(config_file.load("digit_scenes/mae"), "batch.size", "1"),
        "is a single value",
    ),
    "a block": (
        lambda at: config_file._check_key(config_file.load("digit_scenes/mae"), "encoder", "vit"),
        "write --config.encoder.name=vit",
    ),
    "no such key": (
        lambda at: config_file._check_key(config_file.load("digit_scenes/mae"), "btach", "1"),
        "config has no key 'btach'",
    ),
    "a tower": (lambda at: config(towers={"text": 3}).check(), "expected a block of keys"),
    "deep": (lambda at: config(encoder=nested(200)), "which no config is"),
    "digits": (lambda at: config(batch=10**120), "more than 100 digits"),
    "no folder twice": (
        lambda at: _automatic.place({"data": "a"}, ["b"]),
        "'b' and 'a': a run is of one data set",
    ),
    "no folder": (
        lambda at: _automatic.place(
            dict.fromkeys(f.name for f in _automatic.WISHES) | {"steps": 3}, []
        ),
        "--steps is of a folder or a source",
    ),
}


DATA = {
    "a length": (lambda at: captions.load(tokenizer_file(at)), "how long captions are"),
    "an epoch": (
        lambda at: next(epoch.epoch([], batch=3, size=8, share=Share((0,), 2))),
        "cannot be divided into 2 shares",
    ),
    "npz": (lambda at: arrays._members(written(at / "a.npz", "no zip")), "no sound .npz file"),
    "twice": (
        lambda at: arrays._require_fit(
            SimpleNamespace(_held=SimpleNamespace(annotations=double()))
        ),
        "say one thing twice",
    ),
    "alike": (
        lambda at: folder_labels._numbered(at, None, [], [], ["\u00e9", "e\u0301"], []),
        "names that look the same",
    ),
    "no folder": (lambda at: folder_names.subfolders(at / "gone"), "cannot read the folder"),
    "no state": (lambda at: hf_dataset._files(at), "cannot be read"),
    "another state": (
        lambda at: hf_dataset._files(written(at / "state.json", "{}").parent),
        "does not say which files there are",
    ),
    "no files": (
        lambda at: hf_dataset._files(written(at / "state.json", '{"_data_files": []}').parent),
        "lists no files",
    ),
    "idx": (lambda at: idx._values(at / "gone", 1), "cannot be read"),
    "manifest": (
        lambda at: manifest.read(
            written(
                at / manifest.FILE,
                json.dumps({"format": manifest.FORMAT, "version": manifest.VERSION}),
            ).parent
        ),
        "lacks something, or has it of another kind",
    ),
    "no metadata": (lambda at: metadata._text(at / "gone"), "cannot read"),
    "much metadata": (lambda at: metadata._text(large(at / "m.csv")), "has more than"),
    "no list": (lambda at: unlisted(), "cannot list 's3://a'"),
    "no size": (
        lambda at: sized_by_nobody(),
        "its server does not say its size",
    ),
    "no labels": (
        lambda at: table_columns.labels(dates(), names=None, folder=at, file=None, what="'label'"),
        "expected numbers or texts",
    ),
    "nul": (
        lambda at: texts.read(written(at / "a.txt", "words\0 and more words")),
        "it has NUL bytes",
    ),
    "zip": (lambda at: zip_paths.Archive(written(at / "a.zip", "no zip")), "no sound zip file"),
}


PARTS = {
    "weights of nobody": (
        lambda at: compose.combine({"mae": methods.mae()}, weights={"mea": 1.0}),
        "weights has 'mea'",
    ),
    "keep": (lambda at: checkpoint.Checkpoints(at, keep=1), "leaves nothing to fall back on"),
    "table": (
        lambda at: relative.RelativeBias(grid=(200, 200), heads=2).init(jax.random.key(0), None),
        "has a number for every pair",
    ),
    "map": (lambda at: windows.fit((10**4, 10**4), 7, shift=True), "cells is cut"),
    "shapes": (
        lambda at: targets._alike((np.zeros((1, 4, 8)), np.zeros((1, 2, 8))), 2),
        "return tokens of different shapes",
    ),
    "shares": (
        lambda at: launching.places(2, devices=None, visible=("0", "1", "2")),
        "are no equal shares",
    ),
    "few": (lambda at: launching.places(2, devices=2, visible=("0", "1")), "here are 2"),
    "a copy": (lambda at: disagreeing(sure=True), "another copy than most"),
    "copies": (lambda at: disagreeing(sure=False), "nobody can tell"),
    "milestone": (
        lambda at: schedules.warmup_milestones(1.0, total=10, warmup=0, milestones=(1.5,)),
        "is no share of the run",
    ),
    "branch": (
        lambda at: init_from._of_run(SimpleNamespace(branch="best", path="run")),
        "expected online or ema",
    ),
    "timed": (lambda at: timed_by_two(at), "steps are timed in one process"),
    "length": (
        lambda at: pacing._kept(written(at / "run/checkpoints/3/x", "").parents[2], "2 minutes"),
        "has steps of a run of another length",
    ),
}


def tokenizer_file(at):
    """A tokenizer that does not say a length."""
    from tokenizers import Tokenizer, models

    words = Tokenizer(models.WordLevel({"[PAD]": 0, "a": 1}, unk_token="[PAD]"))
    words.save(str(at / "tokenizer.json"))
    return at / "tokenizer.json"


def double():
    """Two roles of annotations that say the same."""
    by_field = {}
    for role, form in arrays.FORMS.items():
        by_field.setdefault(form.field, []).append(role)
    return dict.fromkeys(next(roles for roles in by_field.values() if len(roles) > 1))


def large(path):
    """A file that is larger than it takes, without its bytes."""
    with path.open("wb") as file:
        file.truncate(metadata.MAX_BYTES + 1)
    return path


def unlisted():
    def denied(*_):
        raise RuntimeError("denied")

    with pytest.MonkeyPatch.context() as patch:  # which would try again for a while
        patch.setattr(remote, "_persistent", denied)
        remote._found("s3://a", denied)


def sized_by_nobody():
    store = {"a/b": {"name": "a/b", "type": "file", "size": None}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remote, "_asked", lambda url, what, **_: {"type": "file", "size": None})
        patch.setattr(remote, "_stripped", lambda url: "a")
        remote._store("s3://a", store)


def dates():
    pa = pytest.importorskip("pyarrow")
    return pa.chunked_array([pa.array([0], pa.date32())])


def nested(depth):
    return {"name": nested(depth - 1)} if depth else 1


def disagreeing(*, sure):
    found = [replicas.Difference("online/image/w", "cpu 3", 0, sure)]
    run = SimpleNamespace(mesh=SimpleNamespace(size=2), shardings=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copies.replicas, "compare", lambda *_: lambda leaves: found)
        copies.agreeing(run)(SimpleNamespace(step=3, leaves=[]))


def timed_by_two(at):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "process_count", lambda: 2)
        pacing.fixed(config(duration="2 minutes"), at, lambda: None, memory=at)


ALL = named(configs=CONFIGS, data=DATA, parts=PARTS)


@pytest.mark.parametrize("name", ALL)
def test_it_is_refused_with_a_sentence(name, tmp_path):
    refused(ALL[name], tmp_path)
