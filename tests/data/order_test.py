"""The order: what it has always been, and every record once an epoch, however it is run."""

import functools
import json
import zlib
from fractions import Fraction

import grain
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from m3i_jax.build import ConfigError
from m3i_jax.data import order
from m3i_jax.data.batches import batches
from m3i_jax.data.order import Segment
from m3i_jax.data.repeats import times
from m3i_jax.data.sources.protocol import Component, Sample
from m3i_jax.data.views.crops import Crops
from m3i_jax.types import Share

# Records of samples 0, 1, 2, 3, 5, 8, 13, 10^6, 10^9: as of the first runs, which go on with them.
PLACES = (0, 1, 2, 3, 5, 8, 13, 10**6, 10**9)
GOLDEN = {
    (1, 0): [0] * 9,
    (7, 0): [0, 4, 6, 2, 3, 2, 3, 0, 0],
    (7, 2**32 - 1): [2, 1, 5, 3, 4, 4, 1, 6, 4],
    (1000, 5): [544, 964, 142, 679, 660, 121, 274, 390, 130],
    (442_000_000, 3): [417499353, 339913162, 413174779, 335588072, 110536245, 425853271, 60164779,
                       191778346, 352502466],
}  # fmt: skip


@pytest.mark.parametrize("length, seed", GOLDEN)
def test_the_order_of_a_source_is_that_of_the_first_runs(length, seed):
    record = order.order_of(range(length), seed=seed)
    assert [record(sample) for sample in PLACES] == GOLDEN[length, seed]
    peer = grain.MapDataset.range(length).shuffle(seed=seed).repeat()
    assert [peer[sample] for sample in PLACES] == GOLDEN[length, seed]


def test_every_record_once_an_epoch_and_each_of_them_as_often_as_is_asked():
    record = order.order_of(range(13), seed=2**32 - 1)
    epochs = [[record(13 * epoch + i) for i in range(13)] for epoch in range(4)]
    assert all(sorted(epoch) == list(range(13)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 4
    thrice = order.Ordered([10 * i for i in range(13)], record, times=3)
    assert [thrice[i] for i in range(39)] == [10 * i for i in epochs[0] for _ in range(3)]


HALF = Fraction(1, 2)


class Numbered:
    """A source, or a mixture, whose record i has the label i."""

    name, classes = "numbered", ()

    def __init__(self, lengths, weights=None, *, mixture=True, epoch_of="", often=None):
        weights = weights or [None] * len(lengths)
        parts = zip("abcdefghijklmnopqrstuvwxyz", lengths, weights, strict=False)
        self.components = tuple(Component(*part) for part in parts) if mixture else ()
        self.epoch_of, self._length, self.repeats = epoch_of, sum(lengths), often

    def __len__(self):
        return self._length

    def __getitem__(self, index):
        return Sample(np.zeros((1, 1, 3), np.uint8), label=index)


def turns(shares):
    """Whose turn it is, for ever: the heaviest has ⌊h w + ½⌋ of h turns, and others take the rest.

    shares: (share, which one) from the heaviest on.
    """
    (share, first), *others = shares
    rest, w, h = turns(others) if others else None, share / sum(s for s, _ in shares), 0
    while True:
        mine = (((h + 1) * w + HALF) // 1) - ((h * w + HALF) // 1)
        yield first if mine else next(rest)
        h += 1


def naively(source, segments, seed, samples):
    """The records of the first samples one after the other, counting as it goes."""
    parts, counts = source.components, [0] * len(source.components)
    firsts = np.cumsum([0, *(part.length for part in parts)])
    seeds = [(seed + zlib.crc32(part.name.encode())) % 2**32 for part in parts]
    for sample in range(samples):
        for start, weights in segments:
            if sample == start:
                shares = [(Fraction(str(weights[p.name])), -k) for k, p in enumerate(parts)]
                whose = turns([s for s in sorted(shares, reverse=True) if s[0]])
        k = -next(whose)
        often = None if source.repeats is None else source.repeats[firsts[k] : firsts[k + 1]]
        yield int(firsts[k]) + place(counts[k], parts[k].length, seeds[k], often)
        counts[k] += 1


@functools.cache
def permutation(length, seed):
    return np.random.default_rng(seed).permutation(length).tolist()


def place(position, length, seed, often=None):
    """Where a position of a reshuffled repetition is, by `permutation`."""
    if often is None:
        return permutation(length, (seed + position // length) % 2**32)[position % length]
    epoch = 0
    while True:  # one list after the other
        count = times(often, seed=seed, epoch=epoch)
        shown = [record for record in range(length) for _ in range(count[record])]
        if position < len(shown):
            return shown[permutation(len(shown), (seed + epoch) % 2**32)[position]]
        position, epoch = position - len(shown), epoch + 1


def quick(index, *, max_index, seed, rounds):
    """In place of grain's cipher, which goes on until it is inside: 20 ms an index of a few."""
    assert rounds == 4
    return permutation(max_index + 1, seed)[index]


WEIGHTS = st.one_of(st.integers(0, 9), st.sampled_from([0.1, 2.5, 1e-3, 7e6]))
LEG = st.tuples(
    st.integers(0, 4), st.integers(1, 4), st.integers(1, 8), st.lists(WEIGHTS, min_size=4)
)


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    legs=st.lists(LEG, min_size=1, max_size=4),
    repeats=st.sampled_from([1, 1, 3]),
    mixture=st.booleans(),
    often=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_stream_is_the_same_on_any_hosts_and_threads_killed_and_gone_on_with_at_any_step(
    lengths, legs, repeats, mixture, often, seed
):
    """Each leg runs some steps on some hosts and threads, and the next goes on from its state."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order, "_cipher", lambda: quick)
        run_and_compare(lengths, legs, repeats, mixture, often, seed)


def run_and_compare(lengths, legs, repeats, mixture, often, seed):
    often = np.random.default_rng(seed).uniform(1, 3, sum(lengths)) if often else None
    batch, step, state, drawn, segments = 12, 0, None, [], []
    cut = Crops(size=1, repeats=repeats)
    for steps, hosts, threads, weights in legs:
        weights = weights[: len(lengths)] if any(weights[: len(lengths)]) else None
        source = Numbered(lengths, weights, mixture=mixture, often=often)
        here, now = -(-batch * step // repeats), order.weights_of(source.components)
        segments = [segment for segment in segments if segment[0] < here]
        if mixture and (not segments or shares(segments[-1][1]) != shares(now)):
            segments.append((here, now))
        how = dict(batch=batch, seed=seed, crops=cut, threads=threads)
        parts = [Share((p,), hosts) for p in range(hosts)]
        streams = [batches(source, start=state, share=one, **how) for one in parts]
        for _ in range(steps):
            parts, states = zip(*(next(stream) for stream in streams), strict=True)
            drawn += [int(label) for part in parts for label in part.label]
            assert all(s == states[0] for s in states)
            step, state = step + 1, json.loads(json.dumps(states[0]))  # as a checkpoint has it
            assert state["sample"] == batch * step and ("segments" in state) == mixture
        for stream in streams:
            stream.close()
    asked = -(-batch * step // repeats)
    if mixture:
        records = list(naively(source, segments, seed, asked))
    else:
        records = [place(sample, sum(lengths), seed, often) for sample in range(asked)]
    assert drawn == [records[row // repeats] for row in range(batch * step)]
    if often is None:
        once_an_epoch(records, lengths if mixture else [sum(lengths)])


def shares(weights):
    """What weights are to each other: those of the same shares go on as one stretch."""
    exact = {name: Fraction(str(weight)) for name, weight in weights.items()}
    return {name: weight / sum(exact.values()) for name, weight in exact.items()}


def once_an_epoch(records, lengths):
    """Every pass over a component has each of its records once; the last may be unfinished."""
    firsts = np.cumsum([0, *lengths])
    for first, length in zip(firsts, lengths, strict=False):
        own = [r for r in records if first <= r < first + length]
        for start in range(0, len(own), length):
            one = own[start : start + length]
            assert len(set(one)) == len(one)


@settings(max_examples=100, deadline=None)
@given(
    weights=st.lists(st.integers(0, 10**9), min_size=1, max_size=12).filter(any),
    sample=st.integers(0, 10**15),
)
@example(weights=[427_000_000, 15_000_000], sample=10**12)
def test_shares_are_exact_at_any_place(weights, sample):
    before, after = (order.counts(weights, n) for n in (sample, sample + 1))
    assert sum(before) == sample
    k, own = order.turn(weights, sample)
    assert own == before[k] and weights[k]
    assert after == tuple(n + (j == k) for j, n in enumerate(before))
    off = [
        abs(n - sample * Fraction(w, sum(weights))) for n, w in zip(before, weights, strict=True)
    ]
    some = sum(w > 0 for w in weights)
    assert max(off) <= {1: 0, 2: HALF, 3: 1}.get(some, 2)  # 1.4 is the most that was met


def test_a_component_is_shuffled_as_a_source_of_its_own_seed_is():
    source, seed = Numbered([700, 1300], [1, 4]), 3
    record = order.order_of(source, seed=seed)
    found = [record(sample) for sample in range(10**6, 10**6 + 50)]
    for k, name, first, length in ((0, "a", 0, 700), (1, "b", 700, 1300)):
        own = (seed + zlib.crc32(name.encode())) % 2**32
        peer = grain.MapDataset.range(length).shuffle(seed=own).repeat()
        start, end = (order.counts((1, 4), n)[k] for n in (10**6, 10**6 + 50))
        mine = [r - first for r in found if first <= r < first + length]
        assert mine == [peer[position] for position in range(start, end)]


def test_other_weights_count_from_where_they_come_in(caplog):
    caplog.set_level("INFO")
    now, same = Numbered([4, 8], [3, 1]), Numbered([4, 8], [0.5, 1])
    first = order.continued(Numbered([4, 8]), (), at=0)
    assert first == (Segment(0, {"a": 4, "b": 8}),)
    assert order.continued(same, first, at=24) == first, "1 to 2, as 4 to 8"
    assert order.continued(now, first, at=24) == (*first, Segment(24, {"a": 3, "b": 1}))
    assert order.continued(now, (*first, Segment(24, {"a": 1, "b": 1})), at=24)[1].weights["a"] == 3
    assert order.continued(Numbered([4], mixture=False), (), at=24) == ()
    assert "from sample 24 on the mixture is drawn by weights of a 3, b 1, before by a 4, b 8" in (
        caplog.text
    )


def test_an_epoch_is_all_records_or_one_pass_over_a_component():
    assert order.epoch_length(Numbered([4, 8])) == 12 == order.epoch_length(range(12))
    assert order.epoch_length(Numbered([4, 8], [1, 3])) == 12
    assert order.epoch_length(Numbered([4, 9], [1, 2], epoch_of="b")) == 14  # 9 · 3/2 = 13.5
    assert order.epoch_length(Numbered([4, 9], epoch_of="a")) == 13


def test_an_epoch_with_repeats_is_as_long_as_its_list_in_the_mean(monkeypatch):
    monkeypatch.setattr(order, "_cipher", lambda: quick)
    often = np.array([1.0, 2.5, 1.25, 4.0])
    assert order.epoch_length(Numbered([4], mixture=False, often=often)) == 9  # 8.75
    assert order.epoch_length(Numbered([1, 3], often=often)) == 9
    assert order.epoch_length(Numbered([1, 3], [1, 2], epoch_of="b", often=often)) == 12  # 8 · 3/2
    record = order.order_of(Numbered([4], mixture=False, often=often), seed=1)
    found, start = [record(sample) for sample in range(8750)], 0
    for epoch in range(1000):
        counts = times(often, seed=1, epoch=epoch)
        own = found[start : start + counts.sum()]
        start += counts.sum()
        if start > len(found):
            break
        np.testing.assert_array_equal(np.bincount(own, minlength=4), counts)
    shares = np.bincount(found) / 1000
    np.testing.assert_allclose(shares, often, atol=4 * 0.5 / np.sqrt(1000))


def test_a_component_without_a_record_cannot_be_drawn():
    assert order.order_of(Numbered([0, 2]), seed=0)(0) in (0, 1)
    with pytest.raises(ConfigError, match="the component 'a' of a mixture has no record left"):
        order.order_of(Numbered([0, 2], [1, 1]), seed=0)
