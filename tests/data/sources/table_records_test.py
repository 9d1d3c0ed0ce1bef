"""Rows of tables as records: groups, columns, classes, annotations; the container is in memory."""

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data.sources.table_columns import Asked
from m3i_jax.data.sources.table_records import Group, TableRecords, Tables

pa = pytest.importorskip("pyarrow")


def records(tables, files, **asked):
    """Of tables that are the groups of files: {file: [rows, ...]}."""
    groups = [Group(n, g, len(t)) for n, of in enumerate(tables) for g, t in enumerate(of)]
    column = lambda group, of: tables[group.file][group.inside].column(of.name)  # noqa: E731
    schemas = [of[0].schema for of in tables]
    return TableRecords(Tables(files, schemas, groups, column), Asked(**asked), names=None)


def table(first, count, **more):
    numbers = range(first, first + count)
    return pa.table(
        {"image": [bytes([n]) for n in numbers], "text": [f"n {n}" for n in numbers], **more}
    )


def test_rows_of_groups_of_files(tmp_path):
    files = [tmp_path / "a", tmp_path / "b"]
    said = dict(
        label=pa.array(["x", None]),
        bbox=pa.array([[1.0, 2, 3, 4], None], pa.list_(pa.float64())),
        mask=pa.array([[[0, 1]], None]),
    )
    tables = [[table(n, 2, **said) for n in (0, 2)], [table(4, 2, **said)]]
    rows = records(tables, files)
    read = [rows.read(n) for n in range(6)]
    assert [one.image[0] for one in read] == [*range(6)] and len(rows) == 6
    assert list(rows.captions()) == [one.caption for one in read] == [f"n {n}" for n in range(6)]
    assert rows.codes.tolist() == [0, -1] * 3 and rows.names == ("x",)
    assert read[2].annotations.box.tolist() == [2, 1, 4, 3] and read[3].annotations.box is None
    np.testing.assert_array_equal(
        read[4].annotations.mask, np.array([[0, 1]], np.uint8), strict=True
    )
    assert [rows.where(n) for n in (3, 5)] == [f"{files[0]}: row 3", f"{files[1]}: row 1"]
    assert rows.digest() != records(tables, files, annotations=False).digest()


def test_files_of_other_columns_or_no_rows_are_sentences(tmp_path):
    files = [tmp_path / "a", tmp_path / "b"]
    with pytest.raises(ConfigError, match="b' has other columns than '.*a'"):
        records([[table(0, 1)], [table(0, 1, label=[1])]], files)
    with pytest.raises(ConfigError, match="no rows in"):
        records([[table(0, 1)[:0]]], files[:1])


def test_a_group_that_is_damaged_has_no_captions_and_broken_rows(tmp_path):
    tables = {0: table(0, 2), 1: table(2, 2), 2: table(4, 2)}

    def column(group, of):
        if group.inside == 1 and of.name == "text":
            raise ValueError("a page is damaged")
        return tables[group.inside].column(of.name)[: 1 if group.inside == 2 else 2]

    def opened(groups, **asked):
        said = Tables([tmp_path / "a"], [tables[0].schema], groups, column)
        return TableRecords(said, Asked(**asked), names=None)

    rows = opened([Group(0, n, 2) for n in range(3)])
    assert list(rows.captions()) == ["n 0", "n 1", "", "", "", ""]
    for index, why in ((3, "a page is damaged"), (4, "'image' has 1 values in 2 rows")):
        with pytest.raises(ValueError, match=why):
            rows.read(index)
    with pytest.raises(ConfigError, match="labels of .* cannot be read: a page is damaged"):
        opened([Group(0, 1, 2)], label="text")
    with pytest.raises(ConfigError, match="a group of -2 rows"):
        opened([Group(0, 0, 2), Group(0, 1, -2)])
