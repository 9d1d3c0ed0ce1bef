"""A tracker that sees the brightest box follows it through videos of other sizes than its views."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from m3i_jax.data.sources.video_pairs import Frames, Video, VideoPairs
from m3i_jax.detection import tracking
from m3i_jax.evaluation.tracking.followed import Search, followed
from m3i_jax.metrics import tracking as metrics
from m3i_jax.types import Features
from tests.two_processes import as_two


def moving(count, size=(60, 80), side=12, seed=0):
    """Corners of a box that moves by some pixels a frame."""
    rng = np.random.default_rng(seed)
    place = np.array([20.0, 25.0]) + np.cumsum(rng.uniform(-3, 3, (count, 2)), 0)
    place = place.clip(0, np.subtract(size, side)).round()
    return np.concatenate([place, place + side], 1).astype(np.float32)


VIDEOS = [
    Video("long", moving(9), np.ones(9, bool)),
    Video("short", moving(5, seed=1), np.array([False, True, True, True, True])),
    Video("other", moving(6, seed=2), np.ones(6, bool)),
]


def read(video, frame, decoder):
    image = np.full((60, 80, 3), 30, np.uint8)
    top, left, bottom, right = VIDEOS[video].corners[frame].astype(int)
    image[top:bottom, left:right] = 230
    return image


SOURCE = VideoPairs("made", VIDEOS, Frames(read, lambda video, frame: f"{video}/{frame}"))


class Network(NamedTuple):
    """Says the box of what is bright, of the cell that is nearest to the middle alone sure."""

    def decode(self, params, name, x: Features, *, size):
        search, template = x.maps
        assert template.shape[1:3] == (8, 8)
        bright = search[..., 0] > 0.5
        sides = search.shape[1]
        rows, columns = bright.any(2), bright.any(1)
        edge = lambda seen: (seen.argmax(1), sides - seen[:, ::-1].argmax(1))  # noqa: E731
        (top, bottom), (left, right) = edge(rows), edge(columns)
        box = jnp.stack([top, left, bottom, right], 1).astype(jnp.float32)
        cells = jnp.asarray(tracking.cell_boxes((sides, sides), size))
        logits = jnp.zeros((len(box), len(cells))).at[:, sides * sides // 2 + sides // 2].set(9.0)
        each = lambda x: jnp.tile(x, (len(box) // len(x), len(cells) // x.shape[1], 1))  # noqa: E731
        return tracking.Tracked(logits, each(box[:, None]), each(cells[None]))


class Bright(NamedTuple):
    """Maps are the pixels themselves."""

    network: Any = Network()
    params: Any = None
    decoder: str = "tracking"
    stride: int = 8

    def seen(self, params, images):
        small = images[:, ::2, ::2] if images.shape[1] == 16 else images
        return Features(maps=(small,))


def test_what_is_bright_is_followed():
    frames = []
    count = lambda numbers: (frames.append(n) or n for n in numbers)  # noqa: E731
    search = Search(size=32, template=16)
    tracks = followed(Bright(), SOURCE, search=search, batch=2, seen=count)
    assert [len(track.there) for track in tracks] == [9, 4, 6], "from the first that shows it"
    assert len(frames) == 20
    for track in tracks:
        np.testing.assert_array_equal(track.found[0], track.there[0])
        # To a pixel of the region, which is 48 of the frame's in 32.
        np.testing.assert_allclose(track.found, track.there, atol=1.6)
    assert metrics.got10k(tracks).ao > 0.75


def test_two_processes_follow_what_one_does(monkeypatch):
    how = dict(search=Search(size=32, template=16), batch=2)
    right = followed(Bright(), SOURCE, **how)
    for found in as_two(monkeypatch, lambda share: followed(Bright(), SOURCE, share=share, **how)):
        for one, two in zip(found, right, strict=True):
            np.testing.assert_equal(one, two)


def test_a_box_that_is_none_leaves_the_last_one():
    class Lost(Network):
        def decode(self, params, name, x, *, size):
            said = super().decode(params, name, x, size=size)
            return said._replace(corners=jnp.full_like(said.corners, jnp.nan))

    tracks = followed(Bright(network=Lost()), SOURCE, search=Search(size=32, template=16), batch=3)
    for track in tracks:
        np.testing.assert_array_equal(track.found, np.tile(track.there[:1], (len(track.there), 1)))
