r"""Compares what a paper compares: its tables, with equal compute and seeds; encoders cut short.

    m3i study                                        # M3I: 16 forms x 3 seeds
    m3i study --forms=e,k --seeds=1 --steps=200
    m3i study --table_only --docs=docs/ablation.md

    m3i train_tokenizer --config digit_scenes/vq_vae --workdir runs/painter
    m3i study cim                                    # CIM, Tables 4 to 8

    m3i study dark_secrets                           # four methods x 3 seeds
    m3i study methods --seeds=1 --steps=120          # all methods of the table
    m3i study layers --model runs/mae --model runs/labels --task linear,knn
    m3i study random_weights --model runs/mae --blocks 2,3 --seeds 5 --task knn

Of M3I every run gets the model FLOPs of --steps steps of form k, so cheaper forms see more images
(--budget=images: all see as many, as in CIM's, whose runs have the words of --tokenizer in common).
Runs follow one another, each in WORKDIR/<form>/seed_<n>; the same command goes on where it was,
after SIGTERM (status 75), too. At the end come WORKDIR/table.md and WORKDIR/table.png, and of
dark_secrets, which looks into the encoders, WORKDIR/report.html, the page of the first seed's runs
with what all seeds show. A run that fails is said, and the others follow (status 1).
docs/ablation.md, docs/cim.md, docs/dark_secrets.md and docs/methods_study.md say more.

layers measures the first b blocks of each --model, what is behind them discarded; random_weights
puts b blocks sampled from all in the places of the first b, --seeds times, beside the first ones
and untrained ones. Models, data and tasks are those of m3i evaluate; docs/analysis.md says more.
"""

import pathlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from m3i_jax import cli, ordinary
from m3i_jax.build import ConfigError
from m3i_jax.command_flags import one_of, switch, text, texts, whole
from m3i_jax.commands import _cuts as cut
from m3i_jax.commands import _subject as subject  # noqa: F401 - its flags are ours
from m3i_jax.ranges import Count, CountOrOff

STUDIES = ["m3i", "cim", "dark_secrets", "methods", *cut.STUDIES]
STUDY = one_of(
    "study", "m3i", STUDIES, "The same as a word: whose tables, or how encoders are cut."
)
WORKDIR = text("workdir", None, "Where all runs are kept; runs/ablation[_cim], or runs/STUDY.")
FORMS = texts("forms", [], "Rows of the table by their names; all if empty.")
SEEDS = whole("seeds", 3, "Runs of each form, or draws of blocks.", limits=Count)
STEPS = whole("steps", 1000, "Length of the form of reference.", limits=Count)
BUDGET = one_of("budget", None, ["compute", "images"], "What all runs get alike.")
LIMIT = whole("train_limit", 5000, "Images that probes are fitted on; 0 = all.", limits=CountOrOff)
TEST = whole("test_limit", 0, "Images that they are tested on; 0 = all.", limits=CountOrOff)
ROOT = text("root", None, "Folder of Fashion-MNIST's files; where Debian puts them.")
BRANCH = one_of("branch", None, ["ema", "online"], "Which one the table shows.")
TABLE_ONLY = switch("table_only", "Only make the table of what has been run.")
DOCS = text("docs", None, "Document to put the table into; pictures and page go beside it.")
TOKENIZER = text("tokenizer", "runs/painter", "Work directory of CIM's tokenizer.")


class Plan(NamedTuple):
    """The tables of one paper, and what is the same for all runs.

    reference: the case that --steps are of.  picture: its name in the docs.
    further: what is made of a run beside its probes.
    ready: refuses where what the cases need is not there.
    claims: that the insides of the encoders are held against; () = they are not looked into.
    page: of such a plan, its name in the docs.
    form: the module whose `markdown` and `plot` show what was found, under its `CAPTION`.
    """

    tables: Callable[[], list]
    reference: str
    picture: str
    workdir: str
    branch: str
    budget: str
    further: Any = None
    ready: Callable[[Sequence[Any]], None] = lambda cases: None
    claims: Sequence[Any] = ()
    page: str = ""
    form: Any = None


def chosen_plan() -> Plan:
    """What --study names, with the flags that change it."""
    from m3i_jax.studies import comparison

    plans = dict(m3i=_m3i, dark_secrets=_dark_secrets, methods=_methods, cim=_cim)
    plan = plans[STUDY.value]()
    own = dict(workdir=WORKDIR.value, branch=BRANCH.value, budget=BUDGET.value)
    own["form"] = plan.form or comparison
    return plan._replace(**{name: value for name, value in own.items() if value is not None})


def _m3i() -> Plan:
    from m3i_jax.studies import m3i

    return Plan(m3i.tables, m3i.REFERENCE, "ablation", "runs/ablation", "ema", "compute")


def _dark_secrets() -> Plan:
    from m3i_jax.studies import dark_secrets

    tables = partial(dark_secrets.tables, root=ROOT.value)
    where = ("dark_secrets", "runs/dark_secrets", "online", "compute")
    claims = dark_secrets.CLAIMS
    return Plan(tables, dark_secrets.REFERENCE, *where, claims=claims, page="four_models")


def _methods() -> Plan:
    from m3i_jax.studies import by_target, methods

    tables = partial(methods.tables, root=ROOT.value)
    where = ("methods_study", "runs/methods", "online", "compute")
    return Plan(tables, methods.REFERENCE, *where, further=methods.FURTHER, form=by_target)


def _cim() -> Plan:
    """The network trained is what counts, as in the paper; nothing predicts a moving average."""
    from m3i_jax.studies import cim

    words, where = TOKENIZER.value, ("ablation_cim", "runs/ablation_cim", "online", "images")
    tables, ready = partial(cim.tables, words), partial(cim.ready, words)
    return Plan(tables, cim.REFERENCE, *where, further=cim.FURTHER, ready=ready)


def main() -> int:
    """Trains and measures what is missing, then writes table and picture."""
    from m3i_jax.studies import comparison, study

    if STUDY.value in cut.STUDIES:
        return _cut()
    docs = pathlib.Path(DOCS.value) if DOCS.value else None
    if docs and not docs.is_file():
        raise ConfigError(f"--docs is '{docs}', which is no file")
    if docs:  # refused before hours of training
        comparison.paste(_text(docs), "")
    plan = chosen_plan()
    everything = plan.tables()
    chosen, status = study.choose(everything, FORMS.value), 0
    if not TABLE_ONLY.value:
        all_cases = study.cases(everything)
        cases = study.with_frozen(study.cases(chosen), all_cases)
        plan.ready(cases)
        (first,) = (case for case in all_cases if case.name == plan.reference)
        status = _sweep(plan, cases, first)
        if status not in (0, study.FAILED):
            return status
    _write(plan, chosen, docs)
    return status


def _cut() -> int:
    """A study of encoders that are cut; 75 when asked to leave."""
    from m3i_jax.parallel.signals import EXIT_PREEMPTED, Preemption

    workdir = pathlib.Path(WORKDIR.value or f"runs/{STUDY.value}")
    options = dict(branch=BRANCH.value or "ema", draws=SEEDS.value)
    options |= dict(train_limit=LIMIT.value, test_limit=TEST.value)
    with Preemption(holds=False) as preemption:
        leave = lambda: EXIT_PREEMPTED if preemption.requested else 0  # noqa: E731
        points = cut.points(STUDY.value, workdir, leave=leave, **options)
        if status := leave():
            return status
    print(cut.write(STUDY.value, points, workdir))
    return 0


def _sweep(plan: Plan, cases: Sequence[Any], reference: Any) -> int:
    """Every run of the cases that is not finished; 75 when asked to leave."""
    from m3i_jax.parallel.signals import EXIT_PREEMPTED, Preemption
    from m3i_jax.studies import study

    with Preemption(holds=False) as preemption:  # what a training holds is its own to save
        lengths = dict(steps=STEPS.value, seeds=SEEDS.value, budget=plan.budget)
        lengths |= dict(pictured=bool(plan.claims))
        jobs = study.plan(cases, plan.workdir, reference=reference, **lengths)
        further = plan.further or study.Further()
        options = dict(train_limit=LIMIT.value, test_limit=TEST.value, further=further)
        return study.sweep(
            jobs,
            lambda job: study.perform(job, plan.workdir, **options),
            leave=lambda: EXIT_PREEMPTED if preemption.requested else 0,
        )


def _write(plan: Plan, chosen: Sequence[Any], docs: pathlib.Path | None) -> None:
    """The table, the pictures and the page of all that has been run, there and in the docs."""
    from m3i_jax.studies import comparison

    workdir = pathlib.Path(plan.workdir)
    made = _made(plan, chosen, workdir)
    ordinary.written(workdir / "table.md", (made.text + "\n").encode())
    made.draw(workdir, "table")
    made.page(workdir / "report.html")
    print(made.text)
    if docs:
        folder = docs.parent / "images"
        folder.mkdir(exist_ok=True)
        drawn = made.draw(folder, plan.picture)
        shown = [f"![{caption}](images/{path.name})" for caption, path in drawn]
        block = "\n\n".join([made.text, *shown])
        ordinary.written(docs, comparison.paste(_text(docs), block).encode())
        (docs.parent / "report").mkdir(exist_ok=True)
        made.page(docs.parent / "report" / f"{plan.page}.html")


class Made(NamedTuple):
    """What a study has to show.

    text: the tables.  draw: (folder, stem of the names) -> captions and paths of pictures.
    page: writes the page to a file, of a plan that has one.
    """

    text: str
    draw: Callable[[pathlib.Path, str], list[tuple[str, pathlib.Path]]]
    page: Callable[[pathlib.Path], Any] = lambda out: None


def _made(plan: Plan, chosen: Sequence[Any], workdir: pathlib.Path) -> Made:
    """Tables of all that has been measured, and what draws them."""
    from m3i_jax.studies import inside, page, study

    collected = study.collect(workdir, chosen, branch=plan.branch)
    text = plan.form.markdown(chosen, collected)
    if plan.claims:
        cases = [case for case in study.cases(chosen) if collected.cases[case.name]]
        # Of a sweep that is not done, the seeds that all have.
        there = min(len(collected.cases[case.name]) for case in cases)
        seen = inside.looked_into(cases, workdir, seeds=min(there, SEEDS.value))
        claims = inside.answered(plan.claims, seen)
        text = f"{text}\n\n{inside.markdown(seen, claims)}"
        paged = partial(page.write, cases, seen, claims, workdir, title=chosen[0].title)
        return Made(text, partial(inside.draw, seen), lambda out: paged(out=out))

    def draw(folder: pathlib.Path, stem: str) -> list[tuple[str, pathlib.Path]]:
        path = plan.form.plot(chosen, collected, folder / f"{stem}.png")
        return [(plan.form.CAPTION, path)]

    return Made(text, draw)


def _text(docs: pathlib.Path) -> str:
    try:
        return docs.read_text()
    except UnicodeDecodeError as error:
        raise ConfigError(f"--docs is '{docs}', which is no text: {error.reason}") from error


def run() -> None:
    """The command."""
    cli.run(main, words=STUDY)
