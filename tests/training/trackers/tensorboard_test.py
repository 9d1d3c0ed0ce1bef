"""TensorBoard's events, read back by the format's description."""

import io

import numpy as np
import pytest
from PIL import Image
from tensorboardX.proto import event_pb2

from m3i_jax.training.trackers import tensorboard
from m3i_jax.training.trackers.tracker import TrackedRun


def events(folder):
    """Every (tag, step, value) in the event files: length, checksum, record, checksum."""
    found = []
    for path in sorted(folder.glob("events*")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            size = int.from_bytes(data[at : at + 8], "little")
            event = event_pb2.Event.FromString(data[at + 12 : at + 12 + size])
            found += [(v.tag, event.step, v) for v in event.summary.value]
            at += 16 + size
    return found


def test_numbers_and_pictures_are_events(tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (6, 4, 3)).astype(np.uint8)
    tracker = tensorboard.opened(TrackedRun(tmp_path, 0, {}))
    tracker.scalars(3, {"train/loss": 0.5})
    tracker.images(3, {"views/mix": picture})
    tracker.flush()
    tracker.close()
    found = {(tag, step): value for tag, step, value in events(tmp_path)}
    assert set(found) == {("train/loss", 3), ("views/mix", 3)}
    assert found["train/loss", 3].simple_value == pytest.approx(0.5)
    shown = Image.open(io.BytesIO(found["views/mix", 3].image.encoded_image_string))
    np.testing.assert_array_equal(np.asarray(shown), picture)
