"""Every field that matters is named, and nothing else."""

from m3i_jax.data import captions, fingerprint
from m3i_jax.data.views.crops import Crops
from tests.data.numbered import CROPS, Numbered


def test_fingerprint_names_every_field_that_matters():
    tokenizer = captions.train(["a b"], vocabulary=16, length=4)
    base = dict(seed=0, batch=4, crops=CROPS, tokenizer=tokenizer)
    mark = fingerprint.of(Numbered(9), **base)
    assert mark == fingerprint.of(Numbered(9), **base)
    changes = {
        "seed": dict(seed=1),
        "batch": dict(batch=8),
        "crops": dict(crops=Crops(size=4, scale=(0.3, 1.0), local=1)),
        "tokenizer": dict(tokenizer=captions.train(["a b"], vocabulary=16, length=5)),
    }
    for field, change in changes.items():
        other = fingerprint.of(Numbered(9), **base | change)
        assert [name for name in mark if mark[name] != other[name]] == [field]
        assert fingerprint.digest(other) != fingerprint.digest(mark)
    marks = [
        fingerprint.of(Numbered(9), **base | {"crops": Crops(size=4, **change)})
        for change in ({}, dict(repeats=3), dict(rand_augment={}))
    ]
    assert len({fingerprint.digest(one) for one in marks}) == 3
    other = fingerprint.of(Numbered(8), **base)
    assert [name for name in mark if mark[name] != other[name]] == ["source", "length"]


def test_contents_are_part_of_a_fingerprint_and_older_ones_go_on(caplog):
    class Known(Numbered):
        def contents(self):
            return {"contents": "c", "times": "t"}

    base = dict(seed=0, batch=4, crops=CROPS)
    now = fingerprint.of(Known(9), **base)
    older = fingerprint.of(Numbered(9), **base)
    assert now == older | {"contents": "c", "times": "t"}
    assert fingerprint.changes(now, now) == fingerprint.changes(older, now) == []
    assert fingerprint.changes(now | {"contents": "d"}, now) == ["contents was 'd', is now 'c'"]
    assert fingerprint.changes(older | {"seed": 1}, now) == ["seed was 1, is now 0"]
    assert fingerprint.changes(now, older) == ["contents was 'c', is now None"]
    caplog.clear()
    assert (
        fingerprint.changes(now | {"times": "u"}, now) == []
        and "since the checkpoint" in caplog.text
    )
