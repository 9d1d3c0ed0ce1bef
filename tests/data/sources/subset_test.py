"""Records spread evenly over a source."""

from m3i_jax.data.sources.subset import every_nth


def test_evenly_spread_records_are_those_of_the_source():
    class Source:
        name = "numbers"

        def __len__(self):
            return 10

        def __getitem__(self, i):
            return i * i

    some = every_nth(Source(), 4)
    assert [some[i] for i in range(len(some))] == [0, 9, 36, 81] and some.name == "numbers"
    assert len(every_nth(Source(), 99)) == 10


def test_evenly_spread_records_keep_their_names_and_their_faults():
    class Source:
        def __len__(self):
            return 10

        def read(self, i):
            return None if i == 3 else i

        def where(self, i):
            return f"record {i}"

    some = every_nth(Source(), 4)
    assert [some.read(i) for i in range(4)] == [0, None, 6, 9] and some.where(2) == "record 6"
