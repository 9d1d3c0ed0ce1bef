"""Tracks through the measure: frames of videos with what is followed over what is there."""

import pytest

from m3i_jax.analysis import measures
from m3i_jax.analysis.measures.tracks import strip
from m3i_jax.analysis.pixelwise import SAID, TRUE
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.tracking.followed import Search, followed
from m3i_jax.metrics.tracking import got10k
from m3i_jax.pictures import LINE, PAD
from tests.evaluation.tasks.tracking_test import Sized, evaluation
from tests.evaluation.tracking.followed_test import SOURCE

SEARCH = Search(size=32, template=16)


def test_frames_in_a_row(monkeypatch):
    frame = SOURCE.frame
    (measure,) = measures.create([{"name": "tracks", "frames": 3}])
    shown = measure.measure(evaluation(SOURCE, monkeypatch), None)
    tracks = followed(Sized(), SOURCE, search=SEARCH, batch=3)
    # The second video is shown from its frame 1 on.
    assert shown.counts == {"videos": 3, "frames": 9 + 4 + 6}
    assert shown.values == {"overlap": pytest.approx(got10k(tracks).ao)}
    for one, track, name in zip(shown.pictures, tracks, ("long", "short", "other"), strict=True):
        share = f"{got10k([track]).ao:.2f}"
        assert one.caption == f"{name}: what is followed overlaps with what is there by {share}"
        assert one.image.shape == (PAD + 160 + LINE + PAD, PAD + 3 * (213 + PAD), 3)
        assert (one.image == TRUE).all(-1).any() and (one.image == SAID).all(-1).any()
    # Of five frames, of which the last four are its own: the first, one between and the last.
    seen = []
    monkeypatch.setattr(SOURCE, "frame", lambda n, at: seen.append(at) or frame(n, at))
    strip(SOURCE, 1, tracks[1], 3)
    assert seen == [1, 3, 4]


def test_some_of_the_videos(monkeypatch):
    (measure,) = measures.create([{"name": "tracks", "videos": 1}])
    (one,) = measure.measure(evaluation(SOURCE, monkeypatch), None).pictures
    found = followed(Sized(), SOURCE, search=SEARCH)
    chosen = [n for n, video in enumerate(SOURCE.videos) if one.caption.startswith(video.name)]
    (alone,) = followed(Sized(), SOURCE, search=SEARCH, numbers=chosen)
    assert (alone.found == found[chosen[0]].found).all()


def test_who_has_no_head_is_refused():
    (measure,) = measures.create([{"name": "tracks"}])
    with pytest.raises(NotMeasurable, match="no head that follows an object"):
        measure.measure(evaluation(SOURCE), None)
