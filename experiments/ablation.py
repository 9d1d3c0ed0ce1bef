r"""Compares the 12 forms of M3I's Table 2 and the target views of its Table 14 on digit scenes.

    python experiments/ablation.py                                  # 16 forms x 3 seeds
    python experiments/ablation.py --forms=e,k --seeds=1 --steps=200
    python experiments/ablation.py --table_only --docs=docs/ablation.md

Every run gets the model FLOPs of --steps steps of form k, so cheaper forms see more images
(--budget=images: all see as many). Runs follow one another, each in WORKDIR/<form>/seed_<n>; the
same command goes on where it was, after SIGTERM (status 75), too. At the end come WORKDIR/table.md
and WORKDIR/table.png. docs/ablation.md says more.
"""

import pathlib

from absl import flags

from m3i_jax import cli
from m3i_jax.build import ConfigError
from m3i_jax.ranges import Count, CountOrOff

# (first target, second target) of M3I's Table 14: ImageNet top-1, COCO box AP.
TARGET_VIEWS = {
    ("same", "same"): (77.2, 48.6),
    ("different", "different"): (78.5, 49.8),
    ("different", "same"): (78.8, 49.2),
    ("same", "different"): (79.1, 49.5),
}
SEEN = {"same": "its target's view", "different": "another view"}

WORKDIR = flags.DEFINE_string("workdir", "runs/ablation", "Where all runs are kept.")
FORMS = flags.DEFINE_list("forms", [], "Rows of the table by their names; all if empty.")
SEEDS = flags.DEFINE_integer("seeds", 3, "Runs of each form.")
STEPS = flags.DEFINE_integer("steps", 1000, "Length of the form of reference.")
BUDGET = flags.DEFINE_enum("budget", "compute", ["compute", "images"], "What all runs get alike.")
LIMIT = flags.DEFINE_integer("train_limit", 5000, "Images that probes are fitted on; 0 = all.")
BRANCH = flags.DEFINE_enum("branch", "ema", ["ema", "online"], "Which one the table shows.")
for flag, limits in ((SEEDS, Count), (STEPS, Count), (LIMIT, CountOrOff)):
    cli.hold(flag, limits)
TABLE_ONLY = flags.DEFINE_bool("table_only", False, "Only make the table of what has been run.")
DOCS = flags.DEFINE_string("docs", None, "Document to put the table into, beside WORKDIR/table.md.")


def studies():
    """Table 2 and Table 14 as cases with their configs."""
    from m3i_jax.methods.forms import FORMS as forms
    from m3i_jax.studies.study import Case, Study
    from m3i_jax.training.config import Config

    def load(name, **objective):
        config = cli.load(name)
        config.objective.update(objective)
        return Config.of(config)

    table2, table14 = [], []
    for letter, form in forms.items():
        config = load(f"digit_scenes/table2:{letter}")
        table2.append(Case(letter, form.name, (form.imagenet, form.coco), config))
    for (first, second), paper in TARGET_VIEWS.items():
        views = dict(target_view_first=first, target_view_second=second)
        config = load("digit_scenes/m3i:images", **views)
        title = f"first image in {SEEN[first]}, second in {SEEN[second]}"
        table14.append(Case(f"{first}_{second}", title, paper, config))
    return [
        Study("The 12 forms (M3I Table 2)", tuple(table2)),
        Study("Target views of the mixed input (M3I Table 14)", tuple(table14)),
    ]


def main() -> int:
    """Trains and probes what is missing, then writes the table."""
    return compare(studies, reference="k", name="ablation")


def compare(studies, *, reference, name, measure=lambda job: {}, ready=lambda cases: None) -> int:
    """The ablation of `studies()`: runs what is missing, then writes table and picture.

    reference: the case that --steps are of.  name: of the picture in the docs.
    measure: further metrics of a run, see `study.perform`.
    ready: raises ConfigError where what the cases need is not there.
    """
    from m3i_jax.studies import comparison, study

    docs = pathlib.Path(DOCS.value) if DOCS.value else None
    if docs and not docs.is_file():
        raise ConfigError(f"--docs is '{docs}', which is no file")
    if docs:  # refused before hours of training
        comparison.paste(docs.read_text(), "")
    everything = studies()
    chosen = study.choose(everything, FORMS.value)
    if not TABLE_ONLY.value:
        ready(study.cases(chosen))
        (first,) = (case for case in study.cases(everything) if case.name == reference)
        if status := run(study.cases(chosen), first, measure):
            return status
    write(chosen, docs, name)
    return 0


def run(cases, reference, measure) -> int:
    """Every run of the cases that is not finished; 75 when asked to leave."""
    from m3i_jax.parallel.signals import EXIT_PREEMPTED, Preemption
    from m3i_jax.studies import study

    with Preemption(holds=False) as preemption:  # what a training holds is its own to save
        jobs = study.plan(
            cases,
            WORKDIR.value,
            reference=reference,
            steps=STEPS.value,
            seeds=SEEDS.value,
            budget=BUDGET.value,
        )
        how = dict(train_limit=LIMIT.value, also=measure)
        return study.sweep(
            jobs,
            lambda job: study.perform(job, WORKDIR.value, **how),
            leave=lambda: EXIT_PREEMPTED if preemption.requested else 0,
        )


def write(chosen, docs: pathlib.Path | None, name: str) -> None:
    """The table and the picture of all that has been run, in the work directory and in the docs."""
    from m3i_jax.studies import comparison, study

    workdir = pathlib.Path(WORKDIR.value)
    found = study.collect(workdir, chosen, branch=BRANCH.value)
    text = comparison.markdown(chosen, found)
    (workdir / "table.md").write_text(text + "\n")
    comparison.plot(chosen, found, workdir / "table.png")
    print(text)
    if docs:
        picture = docs.parent / "images" / f"{name}.png"
        picture.parent.mkdir(exist_ok=True)
        comparison.plot(chosen, found, picture)
        block = f"{text}\n\n![Linear probes, forms in the paper's order](images/{picture.name})"
        docs.write_text(comparison.paste(docs.read_text(), block))


if __name__ == "__main__":
    cli.run(main)
