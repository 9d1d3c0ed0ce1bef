"""Every method of the table is a case, with one encoder; what it is told and needs is said."""

import pytest

from m3i_jax import methods as table
from m3i_jax.evaluation import results
from m3i_jax.studies import methods, study
from m3i_jax.training import assemble


@pytest.fixture(scope="module")
def tables():
    return methods.tables(root="/somewhere")


@pytest.fixture(scope="module")
def cases(tables):
    return {case.name: case for case in study.cases(tables)}


def test_every_method_is_in_one_section(tables, cases):
    assert set(cases) == {*table.METHODS, "m3i_images"} - set(table.DENSE)
    assert sum(len(one.cases) for one in tables) == len(cases)
    section = {case.name: one.title for one in tables for case in one.cases}
    assert section["clip"] == "Categories and texts" and section["maskfeat"] == "Pixels and edges"
    assert section["m3i"] == section["combine"] == methods.SEVERAL
    assert section["m3i_images"] == section["capi"] == "Dense features"


def test_method_network_and_batch_of_each_go_together(cases):
    for case in cases.values():
        assemble.check(case.config)


def test_all_have_one_encoder_up_to_what_a_method_asks_of_it(cases):
    allowed = {"hide", "class_token", "final_norm", "registers", "frozen_patch"}
    for case in cases.values():
        encoder = {k: x for k, x in case.config.encoder.items() if k not in allowed}
        assert encoder == {"name": "vit_nano", "patch": 4, "width": 64, "heads": 4}
        assert (case.config.image, case.config.batch) == (24, 64)
        assert case.config.data["root"] == "/somewhere"


def test_teachers_are_cases_and_what_they_were_told_is_said(cases):
    assert cases["milan"].frozen == {"teacher": "clip"}
    assert cases["beit_v2"].frozen == {"tokenizer": "vq_kd"}
    told = {name: cases[name].title for name in ("beit", "beit_v2", "m3i", "simclr", "clip")}
    assert told == {
        "beit": "nothing",
        "beit_v2": "names, by its teacher",
        "m3i": "labels and names",
        "simclr": "nothing",
        "clip": "names",
    }
    for case in cases.values():
        assert set(case.frozen) == set(case.config.weights)
    # Whose data has labels and no captions is told neither where no block reads them.
    assert not any(c.config.captions for c in cases.values() if c.title == "nothing")


def test_a_run_is_fine_tuned_and_the_encoder_as_it_was_drawn(cases, tmp_path, monkeypatch):
    case = cases["moco_v3"]
    job = study.Job(case, 1, case.config, 7, 1.0, tmp_path / "moco_v3" / "seed_1")
    done = []

    def train(config, folder, *, watch):
        done.append((config, folder))
        branch = results.Result({methods.FINE_TUNED: 0.5}, "online", 9, {}, {})
        branch = branch._replace(intervals={methods.FINE_TUNED: [0.4, 0.6]})
        results.write(folder, [branch])
        return 0

    monkeypatch.setattr(methods, "train", train)
    assert methods.perform(job) == 0
    (config, folder), (drawn, beside) = done
    assert (folder, beside) == (job.workdir / "fine_tuned", tmp_path / "baselines/fine_tuned_1")
    assert config.init_from["path"] == str(job.workdir) and drawn.init_from == {}
    assert config.encoder["frozen_patch"] and "frozen_patch" not in drawn.encoder
    own = {"init_from": {}, "encoder": drawn.encoder}
    assert config.to_dict() | own == drawn.to_dict(), "the same but for what the method asks for"
    assert (config.duration, config.seed, config.image) == (f"{methods.STEPS} steps", 1, 24)
    assert config.towers["category"]["size"] == 10
    probed = results.Result({"eval/linear/top1": 0.3}, "online", 7, {}, {})
    for found in (methods.of_run(job, probed), methods.of_untrained(job, probed)):
        assert found.metrics == {"eval/linear/top1": 0.3, methods.FINE_TUNED: 0.5}
        assert [*found.intervals[methods.FINE_TUNED]] == [0.4, 0.6]
