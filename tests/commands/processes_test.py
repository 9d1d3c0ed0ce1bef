"""Several processes measure, look into, write and validate what one does."""

import json
import socket
from pathlib import Path

import numpy as np
import pytest

from m3i_jax.analysis import finding
from m3i_jax.evaluation import datasets, embedding, named
from m3i_jax.evaluation.evaluation import Evaluation
from tests import programs
from tests.commands.starts import ROOT, refused

SMALL = [
    "--model=untrained:vit_nano:depth=2,width=16,patch=8", "--image=32",
    "--data=digit_scenes:length=61", "--batch=16",
]  # fmt: skip
EVALUATE = [
    "evaluate", *SMALL, "--task=linear", "--task=knn:k=(1,5)",
    "--task=linear_grid:rates=(0.01,0.1),steps=4,batch=16",
    "--task=attentive:form=aim,rates=(0.01,),decays=(0.0,),steps=4,batch=16",
    "--task=knn_segmentation:bank=300,k=3",
]  # fmt: skip
ANALYZE = [
    "analyze", *SMALL, "--measure=attention_distance,rank,cka,norms",
    "--measure=pca:count=5,neighbours:queries=2,k=2", "--out={place}",
]  # fmt: skip
EMBED = ["embed", "--model=pixels", *SMALL[1:], "--out={place}/f.npz"]
TRAIN = [
    "pretrain", "--config=digit_scenes/classification", "--config.data.length=61",
    "--config.batch=16", "--config.duration=4 steps", "--config.warmup=0 steps",
    "--config.encoder.width=16", "--config.encoder.depth=1", "--config.validation.every=2 steps",
    "--config.mesh.data=1", "--config.mesh.tensor=2",  # each process reads all of a batch
    "--config.validation.batch=16", "--config.average.head=True", "--config.log.images=0",
    "--config.checkpoint.every=4", "--config.monitor.every=2", "--config.monitor.bank=20",
    "--config.monitor.queries=20",
]  # fmt: skip


def together(words, count, tmp_path):
    """Runs a command in `count` processes, of two devices in all; what each of them printed.

    {place} of its words is a folder that each has for itself, tmp_path/COUNT-RANK.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    many = [f"--coordinator=127.0.0.1:{port}", f"--processes={count}", "--distributed"]
    script, started = ROOT / "experiments" / f"{words[0]}.py", []
    for rank in range(count):
        place = tmp_path / f"{count}-{rank}"
        place.mkdir()
        own = [*many, f"--process={rank}"] if count > 1 else []
        how = dict(folder=place, env=programs.devices(2 // count))
        said = [word.replace("{place}", str(place)) for word in words[1:]]
        started.append(programs.begin(script, *said, *own, **how))
    told = [programs.end(begun) for begun in started]
    for done in told:
        assert done.returncode == 0, done.stderr[-3000:]
    return told


def test_the_other_flags_want_distributed(tmp_path):
    line = "--model=pixels --data=digit_scenes:length=20 --processes=2 --results={tmp}/x.jsonl"
    assert "want --distributed" in refused("evaluate", line, tmp_path)


@pytest.mark.slow
def test_an_evaluation_by_two_processes_finds_what_one_does(tmp_path):
    lines = {}
    for count in (1, 2):
        own = [f"--results={tmp_path}/{count}.jsonl", f"--cache={tmp_path}/cache{count}"]
        told = together([*EVALUATE, *own], count, tmp_path)
        text = (tmp_path / f"{count}.jsonl").read_text()
        lines[count] = [json.loads(line) for line in text.splitlines()]
    assert len(lines[1]) == len(lines[2]) == 5
    for one, two in zip(lines[1], lines[2], strict=True):
        assert one["metrics"] == two["metrics"] and one["counts"] == two["counts"]
        assert one["weights"] == two["weights"] and one["records"] == two["records"]
    first, second = told
    assert "knn" in first.stdout and "knn" not in second.stdout, "the first one prints the table"
    assert "several processes make together are not kept on disk" in second.stderr
    assert list((tmp_path / "cache1").iterdir()) and not (tmp_path / "cache2").exists()


@pytest.mark.slow
def test_an_analysis_by_two_processes_finds_what_one_does(tmp_path):
    told = [together(ANALYZE, count, tmp_path) for count in (1, 2)]
    one, two = (finding.read(tmp_path / name) for name in ("1-0", "2-0"))
    assert len(one) == len(two) == 6
    for pair in zip(one, two, strict=True):
        np.testing.assert_equal(*(of._replace(time="")._asdict() for of in pair))
    folders = (tmp_path / of / "analysis" for of in ("1-0", "2-0"))
    drawn = [sorted(path.name for path in folder.iterdir()) for folder in folders]
    assert drawn[0] == drawn[1] and len(drawn[0]) == 3
    first, second = told[1]
    alone = told[0][0].stdout.replace(str(tmp_path / "1-0"), str(tmp_path / "2-0"))
    assert first.stdout.endswith(alone) and "rank of" not in second.stdout
    assert sorted(path.name for path in (tmp_path / "2-1").iterdir()) == ["stderr", "stdout"]


@pytest.mark.slow
def test_features_that_two_processes_make_are_written_by_the_first(tmp_path):
    first, second = together(EMBED, 2, tmp_path)
    assert "61 x 3072 of pixels" in first.stdout and "pixels" not in second.stdout
    assert not (tmp_path / "2-1" / "f.npz").exists()
    model, data = (word.partition("=")[2] for word in (EMBED[1], SMALL[2]))
    alone = Evaluation(named.model(model, image=32), datasets.named(data), batch=16)
    alone = embedding.write(tmp_path / "f.npz", alone, "test")
    with np.load(tmp_path / "2-0" / "f.npz") as shared, np.load(tmp_path / "f.npz") as wanted:
        assert shared.files == wanted.files and len(alone.labels) == 61
        for name in wanted.files:
            np.testing.assert_array_equal(shared[name], wanted[name])


@pytest.mark.slow
def test_a_validation_by_two_processes_finds_what_one_does(tmp_path):
    results, logs = {}, {}
    for count in (1, 2):
        together([*TRAIN, f"--workdir={tmp_path}/{count}"], count, tmp_path)
        folder = Path(tmp_path / str(count))
        read = lambda file: [json.loads(x) for x in file.read_text().splitlines()]  # noqa: E731
        results[count] = read(folder / "results.jsonl")
        kept = ("validation/", "probe/")
        logs[count] = {
            (line["step"], key): value
            for line in read(folder / "metrics.jsonl")
            for key, value in line.items()
            if key.startswith(kept)
        }
        assert (folder / "best.json").is_file()
    assert logs[1].keys() == logs[2].keys() and len(logs[1]) > 10
    for place, value in logs[1].items():
        # Sums over the batch in another order: a row may change sides.
        np.testing.assert_allclose(logs[2][place], value, atol=1.5 / 20, err_msg=str(place))
    for one, two in zip(results[1], results[2], strict=True):
        assert one["branch"] == two["branch"] and one["counts"] == two["counts"]
        assert one["records"] == two["records"] and one["weights"] and two["weights"]
