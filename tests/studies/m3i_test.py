"""The cases of M3I's tables are those of the paper, each with a config that fits together."""

from m3i_jax.studies import m3i, study


def test_table_2_has_12_forms_and_table_14_four_target_views():
    forms, views = m3i.tables()
    assert [case.name for case in forms.cases] == list("abcdefghijkl")
    assert [case.paper[0] for case in views.cases] == [77.2, 78.5, 78.8, 79.1]
    assert m3i.REFERENCE in {case.name for case in study.cases([forms, views])}
    objective = views.cases[3].config.objective
    assert (objective["target_view_first"], objective["target_view_second"]) == (
        "same",
        "different",
    )
