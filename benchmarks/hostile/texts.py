"""Configs, tokenizers, captions, lists and tables of words, and what a page shows."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostile.attack import Attack, nested, sparse
from hostile.data import png, source
from m3i_jax import config_file
from m3i_jax.analysis.report import page
from m3i_jax.data import captions
from m3i_jax.interop import files
from m3i_jax.training import assemble
from m3i_jax.training.config import Config

SCRIPT = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


def text(name: str, content: str | Callable[[Path], str]) -> Any:
    """make() of a text."""

    def make(folder: Path, canary: Path) -> None:
        said = content(canary) if callable(content) else content
        (folder / name).write_text(said)

    return make


# Configs.


def config(folder: Path) -> str:
    """As `--config FILE` is read and checked."""
    (file,) = folder.iterdir()
    assemble.check(Config.of(config_file.load(str(file)).to_dict()))
    return "took it"


def word(folder: Path) -> str:
    """As flags of a command line are read, of which a file has one a line."""
    words = ["m3i", *(folder / "flags").read_text().splitlines()]
    kept, found = config_file.check_overrides(words, "digit_scenes/mae")
    assemble.check(Config.of(found.to_dict()))
    return f"took {kept[1:]}"


CONFIGS = (
    ("100 000 deep", text("c.json", nested(10**5, mark='{"a":'))),
    ("a number of 100 000 digits", text("c.json", '{"batch": ' + "9" * 10**5 + "}")),
    ("numbers that are none", text("c.json", '{"optimizer": {"name": "adamw", "lr": NaN}}')),
    ("a key twice", text("c.json", '{"batch": 8, "batch": 9}')),
    ("no object", text("c.json", "[1, 2]")),
    (
        "a call for a name",
        text(
            "c.json",
            lambda canary: json.dumps({"encoder": {"name": f"os.system('touch {canary}')"}}),
        ),
    ),
    (
        "attributes for keys",
        text(
            "c.json",
            '{"__class__": {"__init__": {"__globals__": 1}}, "encoder": {"name": "__init__"}}',
        ),
    ),
    (
        "YAML that makes objects",
        text("c.yaml", lambda canary: f"!!python/object/apply:os.system ['touch {canary}']"),
    ),
    ("8 TB of nothing", lambda folder, _: sparse(folder / "c.json", 2**43)),
    ("a pipe", lambda folder, _: os.mkfifo(folder / "c.json")),
)
WORDS = (
    (
        "a call for a number",
        text(
            "flags",
            lambda canary: f"--config.optimizer.lr=__import__('os').system('touch {canary}')",
        ),
    ),
    (
        "a call for a key",
        text("flags", lambda c: f"--config.__import__('os').system('touch {c}')=1"),
    ),
)


# What lies beside weights.


def beside(folder: Path) -> str:
    """As every reader of weights looks at what is beside them."""
    return f"read {len(files.beside(folder, files.CONFIG))} keys"


BESIDE = (
    ("100 000 deep", text(files.CONFIG, nested(10**5))),
    ("half a letter", text(files.CONFIG, '{"a": "\\ud800"}')),
    ("a device", lambda folder, _: (folder / files.CONFIG).symlink_to("/dev/zero")),
)


# Tokenizers.


def tokenizer(**parts: Any) -> Any:
    """make() of a tokenizer.json of a few words, with these parts."""
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[END]": 2, "a": 3}
    special = dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
    added = [{"id": n, "content": c, **special} for c, n in vocabulary.items() if n < 3]
    end = {"SpecialToken": {"id": "[END]", "type_id": 0}}
    single = [{"Sequence": {"id": "A", "type_id": 0}}, end]
    template = {"type": "TemplateProcessing", "single": single, "pair": single}
    template["special_tokens"] = {"[END]": {"id": "[END]", "ids": [2], "tokens": ["[END]"]}}
    said = {
        "version": "1.0", "added_tokens": added, "normalizer": None, "decoder": None,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": template,
        "truncation": None,
        "padding": {"strategy": {"Fixed": 16}, "direction": "Right", "pad_to_multiple_of": None,
                    "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    }  # fmt: skip
    return text("tokenizer.json", json.dumps(said | parts))


def replaced(pattern: dict, content: str) -> dict:
    """A part of a normalizer."""
    return {"type": "Replace", "pattern": pattern, "content": content}


def padded(count: int) -> dict:
    """What pads to so many tokens."""
    return {"strategy": {"Fixed": count}, "direction": "Right", "pad_to_multiple_of": None,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}  # fmt: skip


def encoded(folder: Path) -> str:
    """A tokenizer loaded and used, as for the captions of a run."""
    found = captions.load(folder / "tokenizer.json")
    return f"made {found.encode('a ' + 'a' * 40 + '!').shape} of {found.vocabulary}"


TOKENIZERS = (
    ("100 000 deep", text("tokenizer.json", nested(10**5, mark='{"a":'))),
    ("no tokenizer", text("tokenizer.json", '{"version": "1.0", "model": {}}')),
    ("captions of 2^40 tokens", tokenizer(padding=padded(2**40))),
    ("captions of 10^9 tokens", tokenizer(padding=padded(10**9))),
    (
        "ids of 2^32",
        tokenizer(
            model={
                "type": "WordLevel",
                "vocab": {"[PAD]": 0, "[UNK]": 1, "[END]": 2, "a": 2**32 - 1},
                "unk_token": "[UNK]",
            }
        ),
    ),
    (
        "letters that double 40 times",
        tokenizer(
            normalizer={"type": "Sequence", "normalizers": [replaced({"String": "a"}, "aa")] * 40}
        ),
    ),
    (
        "a pattern that takes for ever",
        tokenizer(
            pre_tokenizer={
                "type": "Split",
                "pattern": {"Regex": "(a|a|a)*(a|aa)+$"},
                "behavior": "Isolated",
                "invert": False,
            }
        ),
    ),
    ("a device", lambda folder, _: (folder / "tokenizer.json").symlink_to("/dev/zero")),
    ("8 TB of nothing", lambda folder, _: sparse(folder / "tokenizer.json", 2**43)),
)


# Words of images.


def captioned(name: str, content: str | bytes | None) -> Any:
    """make() of a folder of one image with something beside it; None: a pipe."""

    def make(folder: Path, _: Path) -> None:
        place = folder / "train" / "cat"
        place.mkdir(parents=True)
        (place / "a.png").write_bytes(png())
        if content is None:
            return os.mkfifo(place / name)
        (place / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return make


CAPTIONS = (
    ("a line of 16 MB", captioned("a.txt", b"a" * 2**24)),
    ("JSON 100 000 deep", captioned("a.json", nested(10**5, mark='{"caption":'))),
    ("letters of a terminal", captioned("a.txt", "\x1b]0;x\x07\x1b[2J\u202e\n")),
    ("a pipe", captioned("a.txt", None)),
    (
        "a table of a field of 16 MB",
        captioned("metadata.csv", 'file_name,text\na.png,"' + "a" * 2**24),
    ),
    (
        "a table of names elsewhere",
        captioned("metadata.jsonl", '{"file_name": "../../../../etc/passwd", "text": "x"}\n'),
    ),
    ("a table 100 000 deep", captioned("metadata.jsonl", nested(10**5, mark='{"a":') + "\n")),
    ("a formula for a spreadsheet", captioned("a.txt", '=HYPERLINK("http://x","y")\n')),
)


# Pages.


def workdir(**content: str) -> Any:
    """make() of a work directory: file (_ for .) -> content."""

    def make(folder: Path, _: Path) -> None:
        run = folder / "run"
        run.mkdir()
        said = {"batch": 8, "seed": SCRIPT, SCRIPT: SCRIPT, "encoder": {"name": SCRIPT}}
        (run / "config.json").write_text(json.dumps(said))
        (run / "metrics.jsonl").write_text('{"step": 1, "train/loss": 1.0}\n')
        for name, text_ in content.items():
            (run / name.replace("_", ".")).write_text(text_)

    return make


def shown(folder: Path) -> str:
    """The page of it, in which nothing of it is markup."""
    found = page.page([folder / "run"])
    assert SCRIPT not in found and "<img src=x" not in found, "markup of a stranger's"
    return f"a page of {len(found) // 1024} KiB"


def measured(**other: Any) -> str:
    """A line of results."""
    line = {"metrics": {SCRIPT: 0.5}, "branch": SCRIPT, "step": 1, "protocol": {SCRIPT: SCRIPT},
            "counts": {}, "task": SCRIPT, "model": SCRIPT, "data": SCRIPT}  # fmt: skip
    return json.dumps(line | other) + "\n"


PAGES = (
    (
        "markup for names of numbers",
        workdir(
            metrics_jsonl=json.dumps({"step": 1, f"train/{SCRIPT}": 1.0, "train/loss": 1.0}) + "\n"
        ),
    ),
    ("markup for results", workdir(results_jsonl=measured())),
    (
        "markup for findings",
        workdir(analysis_jsonl=measured(name=SCRIPT, kind=SCRIPT, values={SCRIPT: [1]})),
    ),
    (
        "lines 100 000 deep",
        workdir(metrics_jsonl=nested(10**5) + "\n", results_jsonl=nested(10**5)),
    ),
    ("numbers that are none", workdir(metrics_jsonl='{"step": 1e400, "train/loss": NaN}\n' * 1000)),
    (
        "100 000 names of numbers",
        workdir(
            metrics_jsonl=json.dumps({"step": 1} | {f"train/{n}": 1.0 for n in range(10**5)}) + "\n"
        ),
    ),
    ("a config 100 000 deep", workdir(config_json=nested(10**5, mark='{"a":'))),
)

READERS = (
    ("config", CONFIGS, config),
    ("words", WORDS, word),
    ("beside weights", BESIDE, beside),
    ("tokenizer", TOKENIZERS, encoded),
    ("captions", CAPTIONS, source("image_folder")),
    ("page", PAGES, shown),
)
ATTACKS = tuple(
    Attack(f"{what}: {name}", make, read) for what, found, read in READERS for name, make in found
)
