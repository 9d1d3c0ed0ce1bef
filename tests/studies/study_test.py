"""The plan of an study, what it repeats and what not, and one run of it, very small."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from m3i_jax import cli
from m3i_jax.build import ConfigError
from m3i_jax.evaluation import results
from m3i_jax.studies import study
from m3i_jax.studies.study import Case, Study
from m3i_jax.training.config import Config


def case(form, **sizes):
    """A form of Table 2 that costs little to trace and to train."""
    config = cli.load(f"digit_scenes/table2:{form}").to_dict()
    config.update({"image": 16, "batch": 8, "duration": "3 epochs"} | sizes)
    config["encoder"].update(width=32, depth=1, heads=2, patch=4)
    for block in config["decoders"].values():
        block.update({k: 32 for k in ("width", "hidden", "out") if k in block})
    config["data"]["length"] = 60
    return Case(form, f"form {form}", (80.0, 40.0), Config.of(config))


@pytest.fixture(scope="module")
def cases():
    return [case("d"), case("k"), case("a")]


def result(branch="ema", step=4, top1=0.5, **protocol):
    return results.Result({"eval/linear/top1": top1}, branch, step, {"seed": 0} | protocol, {})


def test_the_cost_of_a_step_is_that_of_its_images_whatever_the_length():
    one, two = case("d"), case("d", batch=16, duration="7 steps")
    # Half a percent of this small step is made once for the whole batch.
    twice = pytest.approx(2 * study.step_flops(one.config), rel=0.01)
    assert study.step_flops(two.config) == twice


@pytest.mark.parametrize("cost, steps", [(2.0, 100), (1.0, 200), (3.0, 67), (1e9, 1)])
def test_cheaper_steps_are_more_steps(cost, steps):
    assert study.equal_steps(cost, reference=2.0, steps=100) == steps


@pytest.fixture
def costs(monkeypatch):
    """Forms cost what is said here; nothing is traced."""
    costs = {"d": 1.1e9, "k": 1.4e9, "a": 1.7e9}
    price = lambda config: costs[config.objective["form"]]  # noqa: E731
    monkeypatch.setattr(study, "step_flops", price)
    return costs


def test_every_run_has_the_flops_of_the_reference_or_its_images(cases, costs, tmp_path):
    how = dict(reference=cases[1], steps=50, seeds=2)
    jobs = study.plan(cases, tmp_path, **how)
    assert [(j.case.name, j.seed) for j in jobs] == [(c, s) for s in (0, 1) for c in "dka"]
    for job in jobs:
        assert job.tera == pytest.approx(job.steps * costs[job.case.name] / 1e12)
        # Whole steps only: at most half of one is too many or too few.
        assert abs(job.tera - 50 * costs["k"] / 1e12) <= 0.5 * costs[job.case.name] / 1e12
        assert (job.config.duration, job.config.seed) == (f"{job.steps} steps", job.seed)
    steps = {j.case.name: j.steps for j in jobs}
    assert steps["k"] == 50 and steps["a"] < 50 < steps["d"]
    assert {j.steps for j in study.plan(cases, tmp_path, budget="images", **how)} == {50}


def test_what_a_step_costs_is_found_once_for_a_work_directory(cases, costs, tmp_path, monkeypatch):
    how = dict(reference=cases[1], steps=50, seeds=1)
    first = study.plan(cases, tmp_path, **how)
    monkeypatch.setattr(study, "step_flops", None)  # nothing is left to find
    assert study.plan(cases, tmp_path, **how) == first


def test_frozen_towers_are_runs_of_the_same_seed_and_made_before(cases, costs, tmp_path):
    d, k, a = cases
    weighted = replace(k.config, weights={"teacher": {"path": "there", "branch": "online"}})
    needing = k._replace(config=weighted, frozen={"teacher": "a"})
    ordered = study.with_frozen([d, needing], [d, needing, a])
    assert [case.name for case in ordered] == ["d", "a", "k"]
    jobs = study.plan(ordered, tmp_path, reference=d, steps=5, seeds=2)
    teachers = {job.seed: job.config.weights["teacher"] for job in jobs if job.case.name == "k"}
    for seed, teacher in teachers.items():
        assert teacher == {"path": str(tmp_path / "a" / f"seed_{seed}"), "branch": "online"}


def test_a_run_is_its_config_but_for_length_seed_and_what_is_logged(cases, costs, tmp_path):
    job = study.plan(cases[:1], tmp_path, reference=cases[0], steps=5, seeds=2)[-1]
    changed = {k for k, v in job.config.to_dict().items() if v != cases[0].config.to_dict()[k]}
    assert changed == {"seed", "duration", "warmup", "log", "monitor"}
    assert job.workdir == tmp_path / "d" / "seed_1"


def test_the_first_seed_of_a_study_with_a_page_keeps_what_it_shows(cases, costs, tmp_path):
    how = dict(reference=cases[0], steps=120, seeds=2, pictured=True)
    first, second = (job.config for job in study.plan(cases[:1], tmp_path, **how))
    assert (first.log["every"], first.log["images"], first.monitor["every"]) == (2, 60, 30)
    assert (second.log["images"], second.monitor["every"]) == (0, 0)
    same = ("data", "encoder", "objective", "optimizer", "duration", "warmup", "batch")
    assert all(getattr(first, name) == getattr(second, name) for name in same)


def test_cases_are_chosen_by_name(cases):
    studies = [Study("one", tuple(cases[:2])), Study("two", tuple(cases[2:]))]
    assert study.choose(studies, []) == studies
    (kept,) = study.choose(studies, ["k"])
    assert kept.title == "one" and [c.name for c in kept.cases] == ["k"]
    with pytest.raises(ConfigError, match="no case 'kk' to compare"):
        study.choose(studies, ["d", "kk"])


def test_a_case_of_two_studies_is_run_once(cases):
    studies = [Study("one", tuple(cases[:2])), Study("two", tuple(cases[1:]))]
    assert [case.name for case in study.cases(studies)] == ["d", "k", "a"]


def jobs_in(folder, count=3):
    """Jobs of 4 steps that nothing is needed for."""
    named = SimpleNamespace(name="k")
    return [study.Job(named, n, None, 4, 1.0, folder / f"seed_{n}") for n in range(count)]


def test_what_is_finished_is_not_repeated(tmp_path, capsys):
    jobs, performed = jobs_in(tmp_path), []
    results.write(jobs[0].workdir, [result("ema"), result("online")])
    results.write(jobs[1].workdir, [result("ema"), result("online", step=3)])  # not at the end
    assert not study.sweep(jobs, lambda job: performed.append(job.seed) or 0)
    assert performed == [1, 2]
    assert "run 2 of 3: k, seed 1, 4 steps" in capsys.readouterr().out


@pytest.mark.parametrize("asked", ["during a run", "between runs"])
def test_a_sweep_that_is_asked_to_leave_leaves(tmp_path, asked):
    performed = []

    def perform(job):
        performed.append(job.seed)
        return 75 if asked == "during a run" and job.seed == 1 else 0

    late = lambda: 75 if asked == "between runs" and len(performed) == 2 else 0  # noqa: E731
    assert study.sweep(jobs_in(tmp_path), perform, leave=late) == 75
    assert performed == [0, 1]


def test_a_run_that_fails_is_said_and_the_others_follow(tmp_path, capsys):
    def perform(job):
        if job.seed == 1:
            raise ConfigError("no teacher")
        performed.append(job.seed)
        return 0

    performed = []
    assert study.sweep(jobs_in(tmp_path), perform) == study.FAILED
    assert performed == [0, 2]
    assert "k, seed 1, failed: no teacher" in capsys.readouterr().out


def test_the_time_left_is_that_of_the_runs_so_far(tmp_path, capsys):
    clock = iter([0.0, 0.0, 600.0, 1200.0])
    study.sweep(jobs_in(tmp_path), lambda job: 0, clock=lambda: next(clock))
    first, second, third = capsys.readouterr().out.splitlines()
    assert "left" not in first and "20 min left" in second and "10 min left" in third


def test_the_newest_result_of_every_seed_counts(cases, tmp_path):
    studies = [Study("one", tuple(cases))]
    with pytest.raises(ConfigError, match="has no results of an ablation"):
        study.collect(tmp_path, studies)
    for seed in (10, 2):
        folder = tmp_path / "k" / f"seed_{seed}"
        results.write(folder, [result(top1=0.1, seed=seed), result("online", top1=0.9, seed=seed)])
        results.write(folder, [result(top1=seed / 100, seed=seed)])
    results.write(tmp_path / "baselines", [result("pixels"), result("untrained", seed=1)])
    found = study.collect(tmp_path, studies)
    assert [r.metrics["eval/linear/top1"] for r in found.cases["k"]] == [0.02, 0.1]
    assert not found.cases["d"]
    assert {key: len(results) for key, results in found.baselines.items()} == {
        ("baselines", "untrained"): 1,
        ("baselines", "pixels"): 1,
    }
    online = study.collect(tmp_path, studies, branch="online")
    assert [r.metrics["eval/linear/top1"] for r in online.cases["k"]] == [0.9, 0.9]


def with_replaced(job, result):
    return result._replace(metrics=result.metrics | {"eval/cim/replaced": 0.5 if job.seed else 0.1})


@pytest.mark.slow
def test_a_run_is_trained_measured_and_finished(costs, tmp_path):
    small = case("d")._replace(baselines="twins")
    results.write(tmp_path / "twins", [result("untrained", step=0, seed=0)])
    (job,) = study.plan([small], tmp_path, reference=small, steps=2, seeds=2)[1:]
    further = study.Further(of_run=with_replaced)
    assert study.perform(job, tmp_path, train_limit=40, further=further) == 0
    assert study.finished(job)
    found = study.collect(tmp_path, [Study("one", (small,))])
    assert [r.protocol["seed"] for r in found.cases["d"]] == [1]
    (online,) = study.collect(tmp_path, [Study("one", (small,))], branch="online").cases["d"]
    assert online.metrics["eval/cim/replaced"] == 0.5
    # An untrained encoder has a seed, raw pixels have none.
    untrained, pixels = (found.baselines["twins", branch] for branch in ("untrained", "pixels"))
    assert [r.protocol["seed"] for r in untrained] == [0, 1]
    assert [r.protocol["seed"] for r in pixels] == [0]
    for r in found.cases["d"] + untrained[1:] + pixels:
        assert set(r.metrics) >= {"eval/linear/top1", "eval/knn/top1_k20"}
        assert r.counts["train"] == 40
