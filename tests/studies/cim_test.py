"""The cases of CIM's tables; their words are asked for before anything runs."""

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.studies import cim, study


def test_tables_share_the_case_of_reference():
    tables = cim.tables("runs/painter")
    assert len(tables) == 6 and len(study.cases(tables)) == 17
    shared = [table.title for table in tables if cim.REFERENCE in {c.name for c in table.cases}]
    assert len(shared) == 5, "all but the ResNet's"
    words = {c.config.weights.get("tokenizer", {}).get("path") for c in study.cases(tables)}
    assert words == {"runs/painter", None}, "what erases has no words"


def test_missing_words_are_said_with_the_command_that_makes_them(tmp_path):
    cases = study.cases(cim.tables(str(tmp_path / "x")))
    with pytest.raises(ConfigError, match="m3i train_tokenizer --config"):
        cim.ready(str(tmp_path / "x"), cases)
    cim.ready(str(tmp_path), cases)
