"""Sentences of warnings that no other test meets, each provoked once."""

import concurrent.futures
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax.analysis import cim
from m3i_jax.checkpoints import local
from m3i_jax.checkpoints.faults import Unwritable
from m3i_jax.data.prepare import copy
from m3i_jax.evaluation.tasks.retrieval import _captioned
from m3i_jax.training import bundle, going_on, skips
from tests.refusals import told


def silent_disk(at):
    saves = local.LocalCheckpoints(at, "run")
    saves._pending = concurrent.futures.Future()  # a save that never ends
    told(saves.close, (local, "PATIENCE", 0.01))


def hidden_classes(at):
    copy.check(SimpleNamespace(settings=SimpleNamespace(format="folder"), classes=("b", "a")))


def lost_images(at):
    """Of CIM's measures, as one of two images of a batch cannot be read."""
    config = SimpleNamespace(objective={}, image=8)
    model = SimpleNamespace(trained=SimpleNamespace(params={}, config=config, step=1), states={})
    cells = jnp.ones((2, 3), bool)
    seen = cim.Observed(cells, cells, cells, cells * 1, cells * 1.0, None, jnp.ones((2, 4)))
    rows = SimpleNamespace(batch={}, real=np.array([True, False]), lost=np.array([False, True]))
    changes = (cim, "batches", lambda *_, **__: [rows]), (cim, "_observe", lambda *_: seen)
    told(lambda: cim.measure(model), *changes)


def images_without_captions(at):
    source = SimpleNamespace(captions=lambda: ["a cat", ""])
    rows = SimpleNamespace(index=[0, 1], features=np.zeros((2, 2)))
    of = SimpleNamespace(source=lambda split: source, mapped=lambda *_, **__: rows)
    _, lines, owners = _captioned(of, "x", None, 5)
    assert lines == ["a cat"] and owners.tolist() == [0]


def left_out_step(at):
    def full(*_):
        raise Unwritable("'skipped' cannot be written: No space left on device")

    tell = skips.bundling(None, None, at)
    changes = (skips, "_bundle", lambda *_: None), (bundle, "write", full)
    told(lambda: tell(skips.Seen(7, None, {}), "the loss is not finite"), *changes)


WARNINGS = {
    "a disk that hangs": (silent_disk, "does not answer"),
    "classes out of order": (hidden_classes, "labels get other numbers"),
    "lost images": (lost_images, "1 of 2 test images cannot be read: they are left out"),
    "no captions": (images_without_captions, "1 of 2 test images have no caption"),
    "a step": (left_out_step, "step 7 is left out: the loss is not finite; m3i replay"),
    "its bundle": (left_out_step, "No space left on device; the training goes on"),
    "a change on purpose": (
        lambda at: going_on.tell(["batch"], step=3, total=9),
        "from step 3 on: the order of the samples is another from here on",
    ),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_it_is_warned_of_with_a_sentence(name, tmp_path, caplog):
    provoke, sentence = WARNINGS[name]
    provoke(tmp_path)
    assert any(sentence in message for message in caplog.messages), caplog.messages
