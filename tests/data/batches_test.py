"""The stream: a pure function of (seed, step), whatever runs it."""

import collections

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m3i_jax.build import ConfigError
from m3i_jax.data import captions
from m3i_jax.data.epoch import epoch
from m3i_jax.data.views.annotated import Wanted
from m3i_jax.data.views.crops import Crops
from m3i_jax.parallel import sharding
from m3i_jax.types import Share
from tests.data.numbered import Numbered, Ragged, equal, joined, take


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


def test_views_of_several_sizes_share_a_batch_and_go_to_the_devices():
    cut = Crops(size=6, local=3, local_size=4)
    straight = take(Ragged(10), 3, batch=8, crops=cut)
    split = [take(Ragged(10), 3, batch=8, crops=cut, share=Share((p,), 2), threads=3)
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
    (rows,) = epoch(several, batch=4, size=4, tokenizer=tokenizer)
    assert [tokenizer.decode(t) for t in rows.batch.text] == [f"title {i}" for i in range(4)]
    (rows,) = epoch(Ragged(3), batch=4, size=4, tokenizer=tokenizer)
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
            share=Share((host,), hosts),
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
    options = dict(crops=REPEATED, start=start, threads=3)
    parts = [take(Numbered(5), 8 - stop, **options, share=Share((p,), hosts)) for p in range(hosts)]
    for step in range(stop, 8):
        whole, state = straight[step]
        pieces = [part[step - stop] for part in parts]
        assert equal(joined([piece for piece, _ in pieces]), whole)
        assert {piece_state["sample"] for _, piece_state in pieces} == {state["sample"]}


def test_annotations_ride_on_the_stream_and_change_nothing_in_it():
    """Resumed on two hosts they are those of one, on the devices, too; the views are as without."""
    cut = Crops(size=6, local=1, local_size=4)
    asked = dict(batch=8, crops=cut, annotations=Wanted(["mask", "points"], points=2))
    plain, straight = take(Numbered(10), 4, batch=8, crops=cut), take(Numbered(10), 4, **asked)
    again = asked | dict(start=straight[1][1], threads=3)
    parts = [take(Numbered(10), 2, **again, share=Share((p,), 2)) for p in range(2)]
    for step, ((batch, state), (bare, known)) in enumerate(zip(straight, plain, strict=True)):
        assert equal(batch, bare) and state == known and bare.annotations is None
        assert {*batch.annotations} == {"a", "b", "l0"}
        for name, said in batch.annotations.items():
            assert said.mask.shape == batch.images[name].shape[:3] and said.box is None
            assert (said.mask == batch.label[:, None, None] + 1).all()  # as `Numbered` masks
            assert said.present["mask"].all() and not said.present["points"].any()
            if step > 1:
                halves = [part[step - 2][0].annotations[name] for part in parts]
                whole = jax.tree.map(lambda *x: np.concatenate(x), *halves)
                jax.tree.map(np.testing.assert_array_equal, whole, said)
    placed = sharding.put(batch, sharding.mesh())
    jax.tree.map(np.testing.assert_array_equal, placed.annotations, batch.annotations)


@pytest.mark.parametrize("how", [dict(decode="fast"), dict(rand_augment=dict(magnitude=9.0))])
def test_views_that_annotations_would_not_fit_are_refused(how):
    with pytest.raises(ConfigError, match=f"crops.{[*how][0]}"):
        take(Numbered(8), 1, crops=Crops(size=4, **how), annotations=Wanted(["mask"]))


def test_sizes_that_cannot_work_are_refused():
    for bad, said in (
        (dict(batch=5, share=Share((0,), 2)), "nearest larger batch is 6"),
        (dict(batch=0), "batch of 0"),
        (dict(threads=-1), "threads is -1"),
        (dict(start={"sample": 6}), "not a multiple of the batch size 4"),
    ):
        with pytest.raises(ConfigError, match=said):
            take(Numbered(8), 1, **bad)


def test_blocks_of_rows_may_lie_anywhere():
    options = dict(batch=8, crops=Crops(size=4), seed=1)
    ((whole, _),) = take(Ragged(10), 1, **options)
    for blocks in [(0, 3), (1, 2)], [(0, 1, 2), (3,)], [(0, 1, 2, 3), (2,)]:
        for part in blocks:
            rows = [2 * block + i for block in part for i in range(2)]
            ((own, _),) = take(Ragged(10), 1, **options, share=Share(part, 4))
            assert equal(own, jax.tree.map(lambda x, rows=rows: x[rows], whole))
