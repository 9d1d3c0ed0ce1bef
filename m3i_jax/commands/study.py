r"""Compares what a paper compares, on digit scenes: its tables, with equal compute and seeds.

    python experiments/study.py                                  # M3I: 16 forms x 3 seeds
    python experiments/study.py --forms=e,k --seeds=1 --steps=200
    python experiments/study.py --table_only --docs=docs/ablation.md

    python experiments/train_tokenizer.py --config configs/digit_scenes/vq_vae.py \
        --workdir runs/painter
    python experiments/study.py --study=cim                      # CIM, Tables 4 to 8

Of M3I every run gets the model FLOPs of --steps steps of form k, so cheaper forms see more images
(--budget=images: all see as many, as in CIM's, whose runs have the words of --tokenizer in common).
Runs follow one another, each in WORKDIR/<form>/seed_<n>; the same command goes on where it was,
after SIGTERM (status 75), too. At the end come WORKDIR/table.md and WORKDIR/table.png.
docs/ablation.md and docs/cim.md say more.
"""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from m3i_jax import cli, ordinary
from m3i_jax.build import ConfigError
from m3i_jax.command_flags import one_of, switch, text, texts, whole
from m3i_jax.ranges import Count, CountOrOff

STUDY = one_of("study", "m3i", ["m3i", "cim"], "Whose tables.")
WORKDIR = text("workdir", None, "Where all runs are kept; runs/ablation[_cim].")
FORMS = texts("forms", [], "Rows of the table by their names; all if empty.")
SEEDS = whole("seeds", 3, "Runs of each form.", limits=Count)
STEPS = whole("steps", 1000, "Length of the form of reference.", limits=Count)
BUDGET = one_of("budget", None, ["compute", "images"], "What all runs get alike.")
LIMIT = whole("train_limit", 5000, "Images that probes are fitted on; 0 = all.", limits=CountOrOff)
BRANCH = one_of("branch", None, ["ema", "online"], "Which one the table shows.")
TABLE_ONLY = switch("table_only", "Only make the table of what has been run.")
DOCS = text("docs", None, "Document to put the table into, beside WORKDIR/table.md.")
TOKENIZER = text("tokenizer", "runs/painter", "Work directory of CIM's tokenizer.")


class Plan(NamedTuple):
    """The tables of one paper, and what is the same for all runs.

    reference: the case that --steps are of.  picture: its name in the docs.
    measure: further metrics of a run.  ready: refuses where what the cases need is not there.
    """

    tables: Callable[[], list]
    reference: str
    picture: str
    workdir: str
    branch: str
    budget: str
    measure: Callable[[Any], Mapping[str, float]] = lambda job: {}
    ready: Callable[[Sequence[Any]], None] = lambda cases: None


def chosen_plan() -> Plan:
    """What --study names, with the flags that change it."""
    from m3i_jax.studies import cim, m3i

    if STUDY.value == "m3i":
        plan = Plan(m3i.tables, m3i.REFERENCE, "ablation", "runs/ablation", "ema", "compute")
    else:
        # The network trained is what counts, as in the paper; nothing predicts a moving average.
        words, where = TOKENIZER.value, ("ablation_cim", "runs/ablation_cim", "online", "images")
        plan = Plan(partial(cim.tables, words), cim.REFERENCE, *where, cim.measure)
        plan = plan._replace(ready=partial(cim.ready, words))
    own = dict(workdir=WORKDIR.value, branch=BRANCH.value, budget=BUDGET.value)
    return plan._replace(**{name: value for name, value in own.items() if value is not None})


def main() -> int:
    """Trains and measures what is missing, then writes table and picture."""
    from m3i_jax.studies import comparison, study

    docs = pathlib.Path(DOCS.value) if DOCS.value else None
    if docs and not docs.is_file():
        raise ConfigError(f"--docs is '{docs}', which is no file")
    if docs:  # refused before hours of training
        comparison.paste(_text(docs), "")
    plan = chosen_plan()
    everything = plan.tables()
    chosen = study.choose(everything, FORMS.value)
    if not TABLE_ONLY.value:
        cases = study.cases(chosen)
        plan.ready(cases)
        (first,) = (case for case in study.cases(everything) if case.name == plan.reference)
        if status := _sweep(plan, cases, first):
            return status
    _write(plan, chosen, docs)
    return 0


def _sweep(plan: Plan, cases: Sequence[Any], reference: Any) -> int:
    """Every run of the cases that is not finished; 75 when asked to leave."""
    from m3i_jax.parallel.signals import EXIT_PREEMPTED, Preemption
    from m3i_jax.studies import study

    with Preemption(holds=False) as preemption:  # what a training holds is its own to save
        lengths = dict(steps=STEPS.value, seeds=SEEDS.value, budget=plan.budget)
        jobs = study.plan(cases, plan.workdir, reference=reference, **lengths)
        how = dict(train_limit=LIMIT.value, also=plan.measure)
        return study.sweep(
            jobs,
            lambda job: study.perform(job, plan.workdir, **how),
            leave=lambda: EXIT_PREEMPTED if preemption.requested else 0,
        )


def _write(plan: Plan, chosen: Sequence[Any], docs: pathlib.Path | None) -> None:
    """The table and the picture of all that has been run, in the work directory and in the docs."""
    from m3i_jax.studies import comparison, study

    workdir = pathlib.Path(plan.workdir)
    found = study.collect(workdir, chosen, branch=plan.branch)
    text = comparison.markdown(chosen, found)
    ordinary.written(workdir / "table.md", (text + "\n").encode())
    comparison.plot(chosen, found, workdir / "table.png")
    print(text)
    if docs:
        picture = docs.parent / "images" / f"{plan.picture}.png"
        picture.parent.mkdir(exist_ok=True)
        comparison.plot(chosen, found, picture)
        block = f"{text}\n\n![Linear probes, forms in the paper's order](images/{picture.name})"
        ordinary.written(docs, comparison.paste(_text(docs), block).encode())


def _text(docs: pathlib.Path) -> str:
    try:
        return docs.read_text()
    except UnicodeDecodeError as error:
        raise ConfigError(f"--docs is '{docs}', which is no text: {error.reason}") from error


def run() -> None:
    """The command."""
    cli.run(main)
