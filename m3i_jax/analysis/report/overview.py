"""The first parts of a page: what was trained, and what evaluations found."""

from collections.abc import Sequence

from m3i_jax.analysis.report import intervals, settings, spent
from m3i_jax.analysis.report.intervals import Measured
from m3i_jax.analysis.report.markup import Markup, clean, element, joined
from m3i_jax.analysis.report.material import Material, Run
from m3i_jax.analysis.report.scale import number
from m3i_jax.analysis.report.sheet import Sheet
from m3i_jax.evaluation import results, tables, tasks
from m3i_jax.evaluation.tables import Column, Row, Table


def section(name: str, title: str, *inside: Markup | None, said: str = "") -> Markup:
    """A part of the page with its heading, that links lead to."""
    heading = element("h2", title, id=f"{name}-title")
    lead = element("p", said, class_="lead") if said else None
    return element("section", heading, lead, *inside, id=name, aria_labelledby=f"{name}-title")


def trained(material: Material, sheet: Sheet) -> Markup | None:
    """A card for every run, and the settings that are not the defaults."""
    if not material.runs:
        return None
    cards = element("div", *(_card(run, sheet) for run in material.runs), class_="runs")
    return section("trained", "What was trained", cards, _settings(material))


def _card(run: Run, sheet: Sheet) -> Markup:
    """Where a run stands, and what it is."""
    chip = element("i", class_=f"chip {sheet.tone(run.name)}", aria_hidden="true")
    several = len(sheet.runs) > 1
    head = element("h3", chip if several else None, run.name)
    known = settings.facts(run)
    rows = [
        element("div", element("dt", what), element("dd", _fact(what, said)))
        for what, said in known.items()
    ]
    facts = element("dl", *rows, class_="facts")
    tone = sheet.tone(run.name) if several else None
    parts = (head, _progress(run), _newest(run), spent.drawn(run), facts)
    return element("article", *parts, class_="card run", data_model=tone)


def _fact(what: str, said: str) -> Markup | str:
    if what != "Command":
        return said
    words = [element("span", word) for word in said.split(" ")]
    return element("code", *(joined(word, Markup(" ")) for word in words), class_="command")


def _progress(run: Run) -> Markup | None:
    """How far a run has come."""
    steps, done = settings.total(run), run.metrics[-1]["step"] if run.metrics else 0
    if not steps or done > steps:
        return None
    said = f"step {number(done)} of {number(steps)}"
    bar = element("progress", said, max=steps, value=done, aria_label=said)
    words = "done" if done == steps else said
    return element("p", bar, element("span", words), class_="progress")


def _newest(run: Run) -> Markup | None:
    """The newest loss, accuracy and speed, large."""
    names = {"train/loss": "loss", "perf/images_per_second": "images per second"}
    last = {name: line[name] for line in run.metrics for name in line if name != "step"}
    shown = [(what, number(last[name])) for name, what in names.items() if _known(last.get(name))]
    told = {
        "validation/best": ("best validation", "share"),
        "validation/least": ("least error", ""),
        "probe/ema_knn/top1": ("nearest neighbours", "share"),
    }
    accuracy = [(what, number(last[name], unit=unit)) for name, (what, unit) in told.items()
                if _known(last.get(name))]  # fmt: skip
    shown[1:1] = accuracy[:1]
    if last.get("health/alarm"):
        shown.append(("a target collapses", "alarm"))
    parts = [element("span", element("b", value), what) for what, value in shown]
    return element("p", *parts, class_="large") if parts else None


def _known(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _settings(material: Material) -> Markup | None:
    """The settings that are not the defaults; of several runs those first that tell them apart."""
    of = [settings.changed(run.config) for run in material.runs]
    keys = dict.fromkeys(key for one in of for key in one)
    if not keys:
        return None
    values = {key: [one[key].value if key in one else None for one in of] for key in keys}
    differ = [key for key in keys if len(set(values[key])) > 1]
    alone = len(of) == 1
    first, rest = (
        (list(keys), []) if alone else (differ, [key for key in keys if key not in differ])
    )
    parts = [_table(first, of, material.runs, "Settings" if alone else "Settings that differ")]
    if rest:
        parts.append(_table(rest, of, material.runs, "Settings in common"))
    return joined(*parts)


def _table(keys, of, runs: Sequence[Run], title: str) -> Markup:
    """A row for each setting: its value in every run, its default, what it means."""
    wholes = [settings.whole(run.config) for run in runs]
    rows = []
    for key in keys:
        one = next(own[key] for own in of if key in own)
        cells = [
            element("td", element("code", own[key].value))
            if key in own
            else element("td", element("code", every.get(key, "–")), class_="default")
            for own, every in zip(of, wholes, strict=True)
        ]
        cells.append(element("td", element("code", one.default or "–"), class_="default"))
        cells.append(element("td", one.meaning, class_="meaning"))
        rows.append(element("tr", element("th", element("code", key), scope="row"), *cells))
    names = ["value"] if len(runs) == 1 else [clean(run.name) for run in runs]
    head = [element("th", said, scope="col") for said in ("setting", *names, "default", "meaning")]
    inside = element("table", element("thead", element("tr", *head)), element("tbody", *rows))
    summary = element("summary", f"{title} ({len(keys)})")
    return element(
        "details", summary, element("div", inside, class_="scroll"), class_="settings card"
    )


def measured(material: Material, sheet: Sheet) -> Markup | None:
    """The table of results with intervals, and a drawing for each of its columns."""
    if not material.results:
        return None
    table = tables.arranged(material.results)
    datas = list(dict.fromkeys(data for _, data in table.rows))
    parts = [_on(data, table, sheet) for data in datas]
    said = (
        "Frozen features, measured by m3i evaluate. Intervals are of 95 %. The best number of a "
        "column is bold; grey are baselines that nobody trained."
    )
    return section("results", "What it is worth", *parts, said=said)


def _on(data: str, table: Table, sheet: Sheet) -> Markup:
    """All that was measured on one data set."""
    rows = [row for row in table.rows if row[1] == data]
    columns = [c for c in table.columns if any((row, c) in table.cells for row in rows)]
    head = [element("th", "model", scope="col")]
    head += [element("th", _title(column), scope="col") for column in columns]
    body = []
    for row in rows:
        chip = element("i", class_=f"chip {sheet.tone(row[0])}", aria_hidden="true")
        name = element("th", chip, sheet.short(row[0]), scope="row")
        cells = [_cell(table, row, column) for column in columns]
        body.append(element("tr", name, *cells))
    inside = element("table", element("thead", element("tr", *head)), element("tbody", *body))
    drawings = [_drawn(table, rows, column, sheet) for column in columns]
    return joined(
        element("h3", f"on {data}" if data else "measured"),
        element("div", element("div", inside, class_="scroll"), class_="card results"),
        element("div", *drawings, class_="charts"),
    )


def _cell(table: Table, row: Row, column: Column) -> Markup:
    """A number over its interval."""
    if (row, column) not in table.cells:
        return element("td", "–", class_="default")
    value, ends = table.cells[row, column]
    unit = _unit(column)
    said = number(value, unit=unit)
    best = table.best(row, column)
    shown = element("b", said, title="the best of its column") if best else said
    between = None if ends is None else " to ".join(number(end, unit=unit) for end in ends)
    return element("td", shown, element("small", between) if between else None)


def _drawn(table: Table, rows: Sequence[Row], column: Column, sheet: Sheet) -> Markup:
    """The same column as dots and intervals."""
    shown = []
    for row in rows:
        if (row, column) in table.cells:
            value, ends = table.cells[row, column]
            best = table.best(row, column)
            shown.append(Measured(sheet.short(row[0]), sheet.tone(row[0]), value, ends or (), best))
    labels = dict(title=_title(column), unit=_unit(column), number_of=sheet.next)
    return sheet.take(intervals.draw(shown, **labels))


def _title(column: Column) -> str:
    """A column in words: what the task is called, and which of its measures this is."""
    task, metric = column
    _, name, measure = metric.split("/", 2)
    own = task.partition(":")[2]
    title = {one.name: one.title for one in tasks.defaults()}.get(name, name.replace("_", " "))
    return f"{title}{f' ({own})' if own else ''}, {measure.replace('_', ' ')}"


def _unit(column: Column) -> str:
    return "share" if results.is_share(column[1]) else ""
