"""The stream: a pure function of (seed, step), whatever runs it; and exact evaluation passes."""

import collections
import threading
import time

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m3i_jax.build import ConfigError
from m3i_jax.data import captions, pipeline
from m3i_jax.data.sources.protocol import Sample
from m3i_jax.data.views.crops import Crops
from m3i_jax.parallel import sharding
from m3i_jax.types import Batch

CROPS = Crops(size=4, scale=(0.3, 1.0))


class Numbered:
    """Record i is a noise image; its label is i."""

    name, classes = "numbered", ()

    def __init__(self, length):
        self.images = np.random.default_rng(0).integers(0, 256, (length, 9, 12, 3), np.uint8)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        mask = np.full((9, 12), i + 1, np.uint8)
        return Sample(self.images[i], label=i, caption=f"number {i}", mask=mask)

    def captions(self):
        return (f"number {i}" for i in range(len(self)))

    def fingerprint(self):
        return f"numbered {len(self)}"


def take(source, count, **options):
    options = dict(batch=4, seed=0, crops=CROPS) | options
    with pipeline.batches(source, **options) as stream:
        return [next(stream) for _ in range(count)]


def equal(a: Batch, b: Batch) -> bool:
    return (
        all(np.array_equal(a.images[v], b.images[v]) for v in ("a", "b"))
        and all(np.array_equal(a.boxes[v], b.boxes[v]) for v in ("a", "b"))
        and np.array_equal(a.label, b.label)
        and np.array_equal(a.text, b.text)
    )


def joined(parts: list[Batch]) -> Batch:
    views = lambda field: {  # noqa: E731
        v: np.concatenate([getattr(p, field)[v] for p in parts]) for v in ("a", "b")
    }
    return Batch(views("images"), views("boxes"), np.concatenate([p.label for p in parts]))


def test_what_a_batch_is():
    tokenizer = captions.train(Numbered(10).captions(), vocabulary=64, length=5)
    (batch, state), *_ = take(Numbered(10), 1, tokenizer=tokenizer)
    assert batch.images["a"].shape == (4, 4, 4, 3) and batch.images["a"].dtype == np.uint8
    assert batch.boxes["b"].shape == (4, 6) and batch.boxes["b"].dtype == np.float32
    assert batch.label.shape == (4,) and batch.label.dtype == np.int32
    assert batch.text.shape == (4, 5) and batch.text.dtype == np.int32
    assert state == {"sample": 4}
    for label, text in zip(batch.label, batch.text, strict=True):
        assert tokenizer.decode(text) == f"number {label}"
    assert take(Numbered(10), 1)[0][0].text is None


class Ragged(Numbered):
    """Every image has a size of its own."""

    def __getitem__(self, i):
        sample = super().__getitem__(i)
        return sample._replace(image=sample.image[: 5 + i % 4, : 6 + i % 5], mask=None)


def test_views_of_several_sizes_share_a_batch_and_go_to_the_devices():
    cut = Crops(size=6, local=3, local_size=4)
    straight = take(Ragged(10), 3, batch=8, crops=cut)
    split = [take(Ragged(10), 3, batch=8, crops=cut, process_index=p, process_count=2, threads=3)
             for p in range(2)]  # fmt: skip
    plain = take(Ragged(10), 3, batch=8, crops=Crops(size=6))
    mesh = sharding.mesh()
    for step, (batch, _) in enumerate(straight):
        sizes = {name: x.shape for name, x in batch.images.items()}
        assert sizes == {n: (8, 6, 6, 3) for n in "ab"} | {f"l{i}": (8, 4, 4, 3) for i in range(3)}
        assert {x.shape for x in batch.boxes.values()} == {(8, 6)}
        assert equal(batch, plain[step][0])  # a and b, as they are without local views
        for name, whole in batch.images.items():
            halves = [part[step][0].images[name] for part in split]
            assert np.array_equal(np.concatenate(halves), whole)
        placed = sharding.put(batch, mesh)
        assert jax.tree.structure(placed) == jax.tree.structure(batch)
        for here, there in zip(jax.tree.leaves(batch), jax.tree.leaves(placed), strict=True):
            assert there.sharding == sharding.batch_sharding(mesh)
            np.testing.assert_array_equal(here, there)


def test_an_epoch_takes_images_of_any_size():
    rows = list(pipeline.epoch(Ragged(7), batch=3, size=4))
    assert [r.batch.images["a"].shape for r in rows] == [(3, 4, 4, 3)] * 3
    labels = np.concatenate([r.batch.label for r in rows])
    assert labels.tolist() == [*range(7), -1, -1]


def test_one_of_several_captions_is_drawn_at_each_visit():
    class Several(Numbered):
        def __getitem__(self, i):
            lines = ["", f"title {i}", f"words about {i}", f"more {i}"]
            return super().__getitem__(i)._replace(caption="\n".join(lines))

    told = ["title words about more number", *map(str, range(4))]
    tokenizer = captions.train(told, vocabulary=64, length=5)
    several, single = Several(4), Numbered(4)
    drawn = collections.Counter()
    found = take(several, 30, tokenizer=tokenizer)
    pairs = zip(found, take(single, 30, tokenizer=tokenizer), strict=True)
    for (batch, _), (one, _) in pairs:
        assert equal(batch._replace(text=None), one._replace(text=None))  # drawn after the crops
        for label, text in zip(batch.label, batch.text, strict=True):
            words = tokenizer.decode(text)
            assert words.endswith(f" {label}")
            drawn[words.rpartition(" ")[0]] += 1
    assert set(drawn) == {"title", "words about", "more"} and drawn.total() == 120
    # 40 each are expected, standard deviation 5.2: one is beyond 4.4 of those once in 10^5 draws.
    assert all(abs(count - 40) < 23 for count in drawn.values())
    again = take(several, 4, tokenizer=tokenizer, threads=4, start={"sample": 60})
    assert all(equal(a[0], b[0]) for a, b in zip(again, found[15:19], strict=True))
    (rows,) = pipeline.epoch(several, batch=4, size=4, tokenizer=tokenizer)
    assert [tokenizer.decode(t) for t in rows.batch.text] == [f"title {i}" for i in range(4)]
    (rows,) = pipeline.epoch(Ragged(3), batch=4, size=4, tokenizer=tokenizer)
    assert rows.batch.text[:3].any(axis=1).all() and not rows.batch.text[3].any()


def test_every_record_once_per_epoch_and_another_order_each_time():
    labels = np.concatenate([b.label for b, _ in take(Numbered(10), 15)])  # 6 epochs of 10
    epochs = labels.reshape(6, 10)
    assert (np.sort(epochs, axis=1) == np.arange(10)).all()
    assert len({tuple(e) for e in epochs}) == 6
    other = np.concatenate([b.label for b, _ in take(Numbered(10), 15, seed=1)])
    assert not np.array_equal(labels, other)


def test_crops_differ_between_epochs():
    boxes = {}
    for batch, _ in take(Numbered(5), 20, batch=5):
        for label, box in zip(batch.label, batch.boxes["a"], strict=True):
            boxes.setdefault(int(label), set()).add(tuple(box[:4]))
    assert all(len(seen) > 10 for seen in boxes.values())


@settings(max_examples=15, deadline=None)
@given(
    length=st.integers(1, 13),
    local=st.integers(1, 3),
    hosts=st.integers(1, 3),
    threads=st.integers(1, 4),
    stop=st.integers(0, 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_resumed_on_other_hosts_and_threads_it_is_the_same_stream(
    length, local, hosts, threads, stop, seed
):
    source, batch, total = Numbered(length), local * hosts, 6
    options = dict(batch=batch, seed=seed)
    straight = take(source, total, **options, threads=1)
    start = straight[stop - 1][1] if stop else None
    parts = [
        take(
            source,
            total - stop,
            **options,
            threads=threads,
            start=start,
            process_index=host,
            process_count=hosts,
        )
        for host in range(hosts)
    ]
    for step in range(stop, total):
        whole, state = straight[step]
        pieces = [part[step - stop] for part in parts]
        assert equal(joined([piece for piece, _ in pieces]), whole)
        assert all(
            piece_state == state == {"sample": (step + 1) * batch} for _, piece_state in pieces
        )


REPEATED = Crops(size=4, scale=(0.3, 1.0), repeats=3, rand_augment=dict(magnitude=9.0))


def rows(batches):
    """(label, box, pixels) of every row of view a."""
    return [
        (int(label), tuple(box), image.tobytes())
        for batch, _ in batches
        for label, box, image in zip(batch.label, batch.boxes["a"], batch.images["a"], strict=True)
    ]


def test_repeated_augmentation_shows_each_record_three_times_in_a_row():
    """An epoch of 12 rows has 4 records; three epochs have all 12, in the order without repeats."""
    found = rows(take(Numbered(12), 9, crops=REPEATED))
    assert len(found) == 36
    thrice = [found[i : i + 3] for i in range(0, 36, 3)]
    assert all(len({label for label, *_ in same}) == 1 for same in thrice)
    assert all(len({box for _, box, _ in same}) == 3 for same in thrice)
    assert sorted(same[0][0] for same in thrice) == list(range(12))
    assert len({pixels for *_, pixels in found}) == 36
    once = rows(take(Numbered(12), 3))
    assert [same[0][0] for same in thrice] == [label for label, *_ in once]
    # Crops have a generator of their own for every row, the one without repeats.
    plain = rows(take(Numbered(12), 9, crops=Crops(size=4, scale=(0.3, 1.0))))
    boxes = [box[:4] for _, box, _ in found]
    assert boxes == [box[:4] for _, box, _ in plain]
    later = rows(take(Numbered(12), 9, crops=REPEATED, start={"sample": 36}))
    assert sorted(label for label, *_ in later) == sorted(label for label, *_ in found)
    assert [label for label, *_ in later] != [label for label, *_ in found]


@pytest.mark.parametrize("stop, hosts", [(1, 1), (4, 2), (5, 4)])
def test_a_repeated_and_augmented_stream_goes_on_to_the_bit(stop, hosts):
    """From batches that end within the repeats of a record: 4 is not divisible by 3."""
    straight = take(Numbered(5), 8, crops=REPEATED)
    start = straight[stop - 1][1]
    assert start == {"sample": 4 * stop}
    options = dict(crops=REPEATED, start=start, threads=3, process_count=hosts)
    parts = [take(Numbered(5), 8 - stop, **options, process_index=p) for p in range(hosts)]
    for step in range(stop, 8):
        whole, state = straight[step]
        pieces = [part[step - stop] for part in parts]
        assert equal(joined([piece for piece, _ in pieces]), whole)
        assert {piece_state["sample"] for _, piece_state in pieces} == {state["sample"]}


def test_sizes_that_cannot_work_are_refused():
    for bad, said in (
        (dict(batch=5, process_count=2), "nearest larger batch is 6"),
        (dict(batch=0), "batch of 0"),
        (dict(threads=0), "threads is 0"),
        (dict(start={"sample": 6}), "not a multiple of the batch size 4"),
    ):
        with pytest.raises(ConfigError, match=said):
            take(Numbered(8), 1, **bad)


def test_errors_of_a_source_surface_with_their_type():
    class Broken(Numbered):
        def __getitem__(self, i):
            raise LookupError("no such shard")

    with pytest.raises(LookupError, match="no such shard"):
        take(Broken(4), 1)


def test_reading_ahead_is_bounded_and_closing_leaves_no_thread():
    class Counted(Numbered):
        reads = 0

        def __getitem__(self, i):
            type(self).reads += 1  # may lose counts under races, never gains any
            return super().__getitem__(i)

    before = threading.active_count()
    stream = pipeline.batches(Counted(10), batch=2, seed=0, crops=CROPS, threads=2)
    next(stream)
    time.sleep(0.2)
    assert Counted.reads <= 2 * (2 + pipeline.AHEAD)
    stream.close()
    stream.close()
    assert threading.active_count() == before
    with pytest.raises(StopIteration):
        next(stream)


class Hanging(Numbered):
    """Reads of a dead disk: they hang from a certain record on, until the test lets them go."""

    def __init__(self, length, reads):
        super().__init__(length)
        self.left, self.gate = reads, threading.Event()

    def __getitem__(self, i):
        self.left -= 1
        if self.left < 0:
            self.gate.wait()
        return super().__getitem__(i)


def test_a_stream_that_hangs_ends_when_it_is_asked_to_and_closes_at_once():
    source, asked = Hanging(50, reads=6), threading.Event()
    stream = pipeline.batches(
        source, batch=2, seed=0, crops=CROPS, threads=1, leave=asked.is_set
    )  # fmt: skip
    feed = pipeline.prefetch(stream, lambda batch: batch, depth=1)
    states = [next(feed)[1], next(feed)[1]]
    assert states == [{"sample": 2}, {"sample": 4}]
    threading.Timer(0.3, asked.set).start()
    start = time.monotonic()
    assert [state for _, state in feed] == [{"sample": 6}], "what is there is still handed out"
    feed.close()
    assert 0.2 < time.monotonic() - start < 0.3 + pipeline.PATIENCE + 1
    source.gate.set()


def test_a_stream_that_stalls_says_so(monkeypatch, caplog):
    monkeypatch.setattr(pipeline, "STALLED", 0.2)
    source = Hanging(50, reads=0)
    threading.Timer(0.6, source.gate.set).start()
    with pipeline.batches(source, batch=2, seed=0, crops=CROPS) as stream:
        next(stream)
        next(stream)
    assert [r.message for r in caplog.records] == ["no batch for 0.2 s: the data stalls"]


def test_fingerprint_names_every_field_that_matters():
    tokenizer = captions.train(["a b"], vocabulary=16, length=4)
    base = dict(seed=0, batch=4, crops=CROPS, tokenizer=tokenizer)
    mark = pipeline.fingerprint(Numbered(9), **base)
    assert mark == pipeline.fingerprint(Numbered(9), **base)
    changes = {
        "seed": dict(seed=1),
        "batch": dict(batch=8),
        "crops": dict(crops=Crops(size=4, scale=(0.3, 1.0), local=1)),
        "tokenizer": dict(tokenizer=captions.train(["a b"], vocabulary=16, length=5)),
    }
    for field, change in changes.items():
        other = pipeline.fingerprint(Numbered(9), **base | change)
        assert [name for name in mark if mark[name] != other[name]] == [field]
        assert pipeline.digest(other) != pipeline.digest(mark)
    marks = [
        pipeline.fingerprint(Numbered(9), **base | {"crops": Crops(size=4, **change)})
        for change in ({}, dict(repeats=3), dict(rand_augment={}))
    ]
    assert len({pipeline.digest(one) for one in marks}) == 3
    other = pipeline.fingerprint(Numbered(8), **base)
    assert [name for name in mark if mark[name] != other[name]] == ["source", "length"]


def test_contents_are_part_of_a_fingerprint_and_older_ones_go_on(caplog):
    class Known(Numbered):
        def contents(self):
            return {"contents": "c", "times": "t"}

    base = dict(seed=0, batch=4, crops=CROPS)
    now = pipeline.fingerprint(Known(9), **base)
    older = pipeline.fingerprint(Numbered(9), **base)
    assert now == older | {"contents": "c", "times": "t"}
    assert pipeline.changes(now, now) == pipeline.changes(older, now) == []
    assert pipeline.changes(now | {"contents": "d"}, now) == ["contents was 'd', is now 'c'"]
    assert pipeline.changes(older | {"seed": 1}, now) == ["seed was 1, is now 0"]
    assert pipeline.changes(now, older) == ["contents was 'c', is now None"]
    caplog.clear()
    assert (
        pipeline.changes(now | {"times": "u"}, now) == [] and "since the checkpoint" in caplog.text
    )


def test_prefetch_pairs_each_batch_with_the_state_after_it():
    put = []
    stream = pipeline.batches(Numbered(7), batch=2, seed=0, crops=CROPS)
    feed = pipeline.prefetch(stream, lambda b: put.append(b) or ("device", b), depth=3)
    expected = take(Numbered(7), 6, batch=2)
    for step in range(6):
        (place, batch), state = next(feed)
        assert place == "device" and equal(batch, expected[step][0])
        assert state == {"sample": 2 * (step + 1)}  # not that of what was read ahead
        assert len(put) == step + 1 + 3
    feed.close()
    with pytest.raises(StopIteration):
        next(stream)


def test_prefetch_hands_out_all_of_a_finite_stream():
    pairs = [(i, {"sample": i}) for i in range(5)]
    assert list(pipeline.prefetch(iter(pairs), lambda x: x, depth=2)) == pairs


@pytest.mark.parametrize("length", range(1, 10))
@pytest.mark.parametrize("batch", range(1, 5))
def test_an_epoch_is_exact(length, batch):
    rows = list(pipeline.epoch(Numbered(length), batch=batch, size=4, threads=1))
    assert len(rows) == -(-length // batch)
    assert all(r.real.shape == r.batch.label.shape == (batch,) for r in rows)
    real = np.concatenate([r.real for r in rows])
    labels = np.concatenate([r.batch.label for r in rows])
    assert real.sum() == length and labels[real].tolist() == list(range(length))
    assert (labels[~real] == -1).all() and real[:length].all()
    assert all(r.mask is None and r.batch.text is None for r in rows)


@pytest.mark.parametrize("hosts", [1, 2, 3])
def test_hosts_share_an_epoch(hosts):
    source, batch = Numbered(8), 6
    parts = [
        list(
            pipeline.epoch(
                source, batch=batch, size=4, process_index=p, process_count=hosts, masks=True
            )
        )
        for p in range(hosts)
    ]
    labels = [
        np.concatenate([part[step].batch.label for part in parts]).tolist() for step in range(2)
    ]
    assert labels == [list(range(6)), [6, 7, -1, -1, -1, -1]]
    assert all(len(part) == 2 for part in parts)
    last = parts[0][0]
    assert last.mask.shape == last.batch.images["a"].shape[:3]
    assert (last.mask[0] == 1).all()


def test_an_epoch_takes_the_sources_own_ratio():
    class Whole(Numbered):
        evaluation_ratio = 1.0

    (half,) = pipeline.epoch(Numbered(2), batch=2, size=4, ratio=0.5)
    (whole,) = pipeline.epoch(Whole(2), batch=2, size=4)
    assert whole.batch.boxes["a"][0, 2] == 9 and half.batch.boxes["a"][0, 2] == 4.5
