"""The card of an export: README.md as Hugging Face's hub reads it, a head of YAML and a page.

https://huggingface.co/docs/hub/model-cards. What of it is not known is left out, and the licence is
the user's to say.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from m3i_jax import ordinary
from m3i_jax.data.epoch import RATIO
from m3i_jax.evaluation import datasets, models, results
from m3i_jax.evaluation.exported import without_places
from m3i_jax.evaluation.models import Model
from m3i_jax.evaluation.results import Result
from m3i_jax.interop import layouts
from m3i_jax.interop.snippets import snippets

FILE = "README.md"
LIBRARIES = ("timm", "transformers")


def write(folder: str | os.PathLike, model: Model, layout: str) -> bool:
    """Writes the card beside an export; whether it did: one that is there may have been edited.

    layout: name of that of the export.

    Raises:
      OSError: it cannot be written.
    """
    path = Path(folder) / FILE
    if path.exists():
        return False
    found = [result._replace(data=without_places(result.data)) for result in measured(model)]
    ordinary.written(path, card(model, layout, results=found).encode())
    return True


def measured(model: Model) -> list[Result]:
    """What the work directory says was measured of this branch and step, the last of each task."""
    if model.workdir is None:
        return []
    mine = [
        result
        for result in results.read(model.workdir)
        if (result.branch, result.step) == (model.branch, model.step)
    ]
    last = {(result.task, result.data, *sorted(result.metrics)): result for result in mine}
    digest = models.digest(model) if any(result.weights for result in mine) else ""
    return [result for result in last.values() if result.weights in ("", digest)]


def card(model: Model, layout: str, *, results: Sequence[Result]) -> str:
    """The text of the card; results: of this model, see `measured`."""
    module = models.module(model)
    uses = snippets(module, layouts.lookup(layout), pool=model.pool)
    method = model.config.objective["name"] if model.config else ""
    name = f"{model.block['name']}, {method}" if method else model.block["name"]
    code = [f"## In {library}\n\n```python\n{text}\n```" for library, text in uses.items()]
    parts = [
        "\n".join(["---", *_head(name, method, [*uses], results), "---"]),
        f"# {_plain(name)}",
        "\n".join(f"* {line}" for line in _facts(model, module, method)),
        *_numbers(results),
        "These run inside this folder, with an image `photo.jpg`; elsewhere, put its path for `.`.",
        *code,
        "## Licence\n\nNot said: whoever publishes these weights says it, here and in the head.",
    ]
    return "\n\n".join(parts) + "\n"


def _head(name: str, method: str, uses: list[str], found: Sequence[Result]) -> list[str]:
    """Lines of YAML; JSON of a text is YAML, too."""
    library = next((one for one in LIBRARIES if one in uses), "m3i_jax")
    tags = ["m3i_jax", "image-feature-extraction", *([method] if method else [])]
    head = ["# license: yours to say, such as apache-2.0", f"library_name: {library}"]
    head += ["pipeline_tag: image-feature-extraction", "tags:", *(f"- {_yaml(t)}" for t in tags)]
    if not found:
        return head
    head += ["model-index:", f"- name: {_yaml(name)}", "  results:"]
    for result in found:
        data = _yaml(result.data or "unknown")
        head += ["  - task:", "      type: image-feature-extraction"]
        head += [f"      name: {_yaml(result.task or 'evaluation')}"]
        head += ["    dataset:", f"      type: {data}", f"      name: {data}", "    metrics:"]
        for metric, value in result.metrics.items():
            head += [f"    - type: {_yaml(metric)}", f"      value: {value:.6g}"]
    return head


def _facts(model: Model, module: Any, method: str) -> list[str]:
    """What is known of it, a line each."""
    crop = model.crop or RATIO
    height, width = module.size
    facts = [f"Encoder: {_block(model)}; codes of {module.features} numbers, pooled: {model.pool}"]
    if model.config:
        config = model.config
        seen = f", {model.step * config.batch} images" if model.step else ""
        facts.append(f"Method: {method}; step {model.step}{seen}, branch {model.branch}")
        facts.append(f"Data: {_plain(datasets.title(without_places(config.data)))}")
    facts.append(
        f"Images: short side to {round(max(height, width) / crop)} pixels, bicubic, the middle "
        f"{height}x{width}, normalised by {_plain(module.normalization)}"
    )
    return facts + ([_plain(model.note)] if model.note else [])


def _block(model: Model) -> str:
    """The block of the encoder, as a command line says it."""
    rest = ", ".join(f"{key}={x}" for key, x in model.block.items() if key != "name")
    return _plain(model.block["name"] + (f" ({rest})" if rest else ""))


def _numbers(found: Sequence[Result]) -> list[str]:
    """A table, a row for each number; [] where nothing was measured."""
    rows = []
    for result in found:
        for metric, value in result.metrics.items():
            span = result.intervals.get(metric)
            texts = [_shown(metric, x) for x in (value, *(span or ()))]
            within = f"{texts[1]} to {texts[2]}" if span else ""
            row = (result.task, result.data, metric, texts[0], within)
            rows.append(f"| {' | '.join(map(_plain, row))} |")
    head = "| task | data | measure | value | 95 % |\n|---|---|---|---|---|\n"
    return ["## Measured\n\n" + head + "\n".join(rows)] if rows else []


def _shown(metric: str, value: float) -> str:
    return f"{100 * value:.2f} %" if results.is_share(metric) else f"{value:.4g}"


def _plain(text: Any) -> str:
    """A text that is one line and no markup of a table or of HTML."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")


def _yaml(text: str) -> str:
    return json.dumps(text)
