"""Sentences of refusal that no other test meets, of commands and of rare places, each once."""

from types import SimpleNamespace

import jax
import pytest

from m3i_jax.analysis import cim
from m3i_jax.checkpoints import weights
from m3i_jax.commands import (
    _cuts,
    _processes,
    analyze,
    convert,
    evaluate,
    export,
    finetune,
    launch,
    plan,
    study,
)
from m3i_jax.commands import list as lists
from m3i_jax.data.sources import (
    array_record,
    table_records,
)
from m3i_jax.evaluation import foreign, foreign_text, models, surgery
from m3i_jax.evaluation import named as named_models
from m3i_jax.training import (
    fine_tuning,
    restoring,
)
from m3i_jax.training.planning import ahead
from tests.refusals import named, refused, said, told, written

COMMANDS = {
    "cuts of two data sets": (
        lambda at: told(
            lambda: _cuts.points("layers", at, branch="ema", draws=1, leave=lambda: 0),
            *said(_cuts, TASK=["knn"]),
            *said(_cuts.subject, MODEL=["a"]),
            (_cuts.subject, "tested", lambda: ["a", "b"]),
        ),
        "is of one data set",
    ),
    "devices": (lambda at: _processes._numbers(["0", "one"]), "--local_devices has 'one'"),
    "no measure": (
        lambda at: told(analyze.main, *said(analyze, MEASURE=[])),
        "--measure names none",
    ),
    "fields": (lambda at: convert._fields("{"), "--fields is no JSON"),
    "results": (
        lambda at: told(evaluate.main, *said(evaluate, TASK=["knn"], RESULTS="a.csv")),
        "expected a file that ends in .jsonl",
    ),
    "a grid by nothing": (
        lambda at: told(lambda: finetune.searched({}, at), *said(finetune, VALIDATION=False)),
        "--grid chooses by the accuracy",
    ),
    "a grid of processes": (
        lambda at: told(
            lambda: finetune.searched({}, at),
            *said(finetune, VALIDATION=True),
            *said(finetune.training.processes, DISTRIBUTED=True),
        ),
        "--grid starts one run after another",
    ),
    "no data": (
        lambda at: told(
            lambda: finetune.resolved({}),
            *said(finetune, MODEL="a", BRANCH="ema", DATA=None),
            (finetune, "refuse_twice_said", lambda argv: None),
            (fine_tuning, "origin", lambda *_, **__: SimpleNamespace(data=None, unreadable=None)),
        ),
        "--data is needed",
    ),
    "launched": (lambda at: launch.main("dance"), "behind it stands 'dance'"),
    "a host": (
        lambda at: told(launch._check_hosts, *said(launch, HOST=3, HOSTS=2)),
        "they count from 0",
    ),
    "hosts": (
        lambda at: told(launch._check_hosts, *said(launch, HOST=1, HOSTS=2, COORDINATOR=None)),
        "wants --coordinator=HOST:",
    ),
    "markdown": (
        lambda at: told(lambda: lists.main("tasks"), *said(lists, MARKDOWN=True)),
        "--markdown is of 'list methods'",
    ),
    "a list": (
        lambda at: told(lambda: lists.main("taks"), *said(lists, MARKDOWN=False)),
        "there is no list of 'taks'",
    ),
    "listed": (
        lambda at: told(lambda: lists.main("configs", "zzz"), *said(lists, MARKDOWN=False)),
        "none of the configs has 'zzz'",
    ),
    "chips": (
        lambda at: told(
            plan.main,
            *said(plan, DEVICES=2, TOPOLOGY="v5e:2x2"),
            (plan, "Config", SimpleNamespace(of=lambda of: None)),
            (plan, "flags", SimpleNamespace(FLAGS=SimpleNamespace(config=None))),
        ),
        "both say how many chips there are",
    ),
    "two exports": (
        lambda at: told(export.main, *said(export, MODEL="a", WORKDIR="b")),
        "--workdir and --model both say what is exported",
    ),
    "an export of a part": (
        lambda at: told(
            export.main,
            *said(export, MODEL="runs/mae:without_block=1", WORKDIR=None, OUTPUT=None),
            (named_models, "model", lambda *_, **__: SimpleNamespace(branch="ema")),
            (models, "module", lambda of: None),
        ),
        "is no whole run, in which its export could be; give --output",
    ),
    "an export of no run": (
        lambda at: told(
            export.main,
            *said(export, MODEL="untrained:vit_nano:depth=1,width=16", WORKDIR=None, OUTPUT=None),
        ),
        "is no whole run, in which its export could be; give --output",
    ),
    "docs": (
        lambda at: study._text(written(at / "a.md", b"\xff\xfe\xfd")),
        "which is no text",
    ),
}


REST = {
    "no generator": (
        lambda at: told(
            lambda: cim.restore(at),
            (
                cim.models,
                "restore",
                lambda *_, **__: SimpleNamespace(
                    config=SimpleNamespace(objective={"name": "cim"}), workdir=at
                ),
            ),
            (cim, "objective", lambda of: SimpleNamespace(terms={})),
        ),
        "has no generator to show",
    ),
    "nothing to measure": (
        lambda at: told(lambda: cim.measure(None), (cim, "batches", lambda *_, **__: [])),
        "there is nothing to measure",
    ),
    "no norm": (
        lambda at: told(
            lambda: surgery.truncated(SimpleNamespace(name="a run"), 1, final_norm=True),
            (surgery.models, "module", lambda of: None),
            (surgery, "_depths", lambda *_: [2]),
            (surgery, "_image", lambda of: {}),
        ),
        "has no final norm to keep",
    ),
    "no step": (
        lambda at: told(
            lambda: weights._checkpoint(
                written(at / "checkpoints/3/x", "").parents[2] / "checkpoints/9", look=False
            ),
            (weights, "Checkpoints", lambda *_, **__: SimpleNamespace(steps=lambda: [3])),
        ),
        "there is no step 9",
    ),
    "changed data": (
        lambda at: told(
            lambda: restoring.start(
                SimpleNamespace(),
                SimpleNamespace(meta={"fingerprint": {}}),
                mark={},
                tokenizer=None,
                deliberate=(),
            ),
            (restoring.fingerprint, "changes", lambda *_: []),
            (restoring.going_on, "refused", lambda *_: ["the images are others"]),
        ),
        "the data changed under the checkpoint: the images are others",
    ),
    "no encoder said": (
        lambda at: told(
            lambda: foreign._block(
                SimpleNamespace(
                    stated=SimpleNamespace(block=None, encoder=None),
                    params={},
                    layout=SimpleNamespace(name="timm"),
                ),
                {},
                at,
            )
        ),
        "which encoder it is (layout 'timm')",
    ),
    "no padding": (
        lambda at: told(
            lambda: foreign_text._padding(at, SimpleNamespace(number=lambda word: None), what="it"),
            (foreign_text.files, "beside", lambda *_: {}),
        ),
        "needs to know what short texts are padded with",
    ),
    "no rows": (lambda at: tables(at, rows=0), "no rows in the files of"),
    "rows below none": (lambda at: tables(at, rows=-1), "is damaged: it has a group of -1 rows"),
    "no records": (
        lambda at: told(
            lambda: array_record.ArrayRecords(
                at,
                SimpleNamespace(splits={"test": SimpleNamespace(shards=())}, classes=()),
                "test",
                captions=False,
                annotations=False,
            ),
            (array_record, "_library", lambda: None),
            (array_record.manifest, "require_sizes", lambda *_: None),
        ),
        "has no records in its test split",
    ),
    "fits": (lambda at: too_large(), "the step does not fit on 1 x TPU"),
}


def text_in_bytes(at):
    study._text(written(at / "a.md", b"\xff\xfe\xfd"))


def tables(at, *, rows):
    group = SimpleNamespace(rows=rows)
    told(
        lambda: table_records.TableRecords(
            table_records.Tables([at / "a.parquet"], [None], [group], None),
            SimpleNamespace(label=None),
            names=None,
        ),
        (table_records, "_columns", lambda *_: None),
    )


def too_large():
    def compile():
        raise jax.errors.JaxRuntimeError(f"{ahead.FULL}: 30 GiB of 16")

    lowered = SimpleNamespace(lower=lambda: SimpleNamespace(compile=compile))
    program = SimpleNamespace(trace=lambda *_: lowered)
    run = SimpleNamespace(
        mesh=jax.make_mesh((1,), ("data",), devices=jax.devices()[:1]),
        abstract=(),
        compiled=lambda: program,
        batch_shape=lambda: (),
    )
    told(
        lambda: ahead.compiled(
            SimpleNamespace(epoch_size=1), [SimpleNamespace(device_kind="TPU v5e")]
        ),
        (ahead, "assemble", lambda *_, **__: run),
        (ahead.peaks, "chip", lambda kind: None),  # whose formula wants a whole config
    )


ALL = named(commands=COMMANDS, rest=REST)


@pytest.mark.parametrize("name", ALL)
def test_it_is_refused_with_a_sentence(name, tmp_path):
    refused(ALL[name], tmp_path)
