"""What a run that is validated ends with."""

import json

import pytest

from m3i_jax.evaluation import reached, results
from m3i_jax.evaluation.results import Result


def run(workdir, *, best, last=49, metric="top1"):
    """The papers of a run whose last step was right on 15 of 20, and its best one on 16."""
    task = "depth" if metric == "rmse" else "fine_tune"
    ends = {"eval/depth/rmse": (0.5, 0.875)} if task == "depth" else {}
    value = 0.8 if best != last else 0.75
    note = {"step": best, "metric": f"validation/online/{metric}", "value": value}
    note["checkpoint"] = f"checkpoints/{best}"
    (workdir / "best.json").write_text(json.dumps(note))
    (workdir / "predictions.npz").write_bytes(b"")
    found = {f"eval/{task}/{metric}": 0.75}
    counts, of = {"train": 80, "test": 20}, dict(task=task, intervals=ends)
    lines = [Result(found, branch, last, {}, counts, **of) for branch in ("online", "ema")]
    lines.append(Result({"eval/knn/top1": 0.1}, "online", last, {}, counts, task="knn"))
    results.write(workdir, lines)


@pytest.mark.parametrize(
    "best, metric, lines",
    [
        (35, "top1", ["step 49, the last: top1 75.0 % (53.1–88.8)", # 15 of 20, see run_test
                      "step 35, the best: top1 80.0 % (58.4–91.9)",
                      "(online weights on 20 test images, with 95 % intervals)"]),
        (49, "top1", ["step 49, the last and the best: top1 75.0 % (53.1–88.8)"]),
        (35, "mean_per_class", ["step 49, the last: mean_per_class 75.0 %"]),
        (35, "rmse", ["step 49, the last: rmse 0.75 (0.5–0.875)", "step 35, the best: rmse 0.8"]),
    ],
)  # fmt: skip
def test_the_last_step_and_the_best_are_told_apart(tmp_path, best, metric, lines):
    run(tmp_path, best=best, metric=metric)
    said = reached.accuracy(tmp_path).splitlines()
    assert said[: len(lines)] == lines
    assert said[-1].startswith("The best step is chosen on the same images") == (best != 49)


def test_it_is_said_where_all_of_it_is_and_what_is_next(tmp_path):
    said = reached.places(tmp_path)
    assert reached.accuracy(tmp_path) == "" and said.endswith(f"m3i export {tmp_path}")
    run(tmp_path, best=35)
    said = reached.places(tmp_path)
    assert f"best.json names the best checkpoint, {tmp_path}/checkpoints/35; " in said
    assert f"{tmp_path}/predictions.npz has its answer to every test image" in said
    assert said.endswith(
        f"more: m3i evaluate {tmp_path}@35#online, m3i export {tmp_path}@35#online"
    )
