"""The four runs have one encoder, and about equal compute."""

from m3i_jax.studies import dark_secrets, study


def test_four_methods_train_the_same_encoder_on_the_same_views():
    cases = study.cases(dark_secrets.tables(root="/somewhere"))
    assert [case.name for case in cases] == [*dark_secrets.TITLES]
    configs = [case.config for case in cases]
    for field in ("encoder", "image", "batch", "crops", "optimizer"):
        assert len({str(getattr(config, field)) for config in configs}) == 1
    assert {config.data["root"] for config in configs} == {"/somewhere"}
    assert {config.objective["name"] for config in configs} == {*dark_secrets.TITLES}
