"""The files of launch/: their syntax, their flags, and what they do, by programs in the place of a
cluster's."""

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

from m3i_jax import command_flags
from m3i_jax.commands import pretrain

yaml = pytest.importorskip("yaml")
FILES = Path(__file__).parents[1] / "launch"
SCRIPTS = sorted(path for path in FILES.iterdir() if path.suffix in (".sh", ".sbatch"))
FLAGS = {flag.name for flag in command_flags.of(pretrain)} | {"config"}


def program(folder, name, text):
    """A program of the name that is found before any other."""
    path = folder / name
    path.write_text(f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def ran(script, *words, folder, **variables):
    """How a script ends whose programs are those of a folder."""
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", **variables}
    line = ["bash", str(FILES / script), *words]
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=60)


def test_there_is_a_file_for_each_kind_of_cluster():
    names = {path.name for path in FILES.iterdir()}
    assert names == {"slurm.sbatch", "queued_resource.sh", "jobset.yaml", "skypilot.yaml"}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_ones_that_bash_can_read(path):
    done = subprocess.run(["bash", "-n", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", sorted(FILES.iterdir()), ids=lambda path: path.name)
def test_the_flags_of_pretrain_are_those_that_it_has(path):
    text = path.read_text().replace("\\\n", " ")
    end = "resources:" if path.name == "jobset.yaml" else "\n"
    lines = [line.split(end)[0] for line in re.split(r"m3i pretrain|- pretrain", text)[1:]]
    said = {word for line in lines for word in re.findall(r"--([a-z_]+)", line)}
    assert "distributed" in said and said <= FLAGS


@pytest.mark.parametrize(
    "status, queued",
    [(0, False), (75, True), (69, True), (137, True), (143, True), (2, False), (70, False)],
)
def test_slurm_puts_back_what_was_asked_to_leave_or_lost_a_node(status, queued, tmp_path):
    program(tmp_path, "srun", f'echo "$@" > {tmp_path}/line; exit {status}')
    program(tmp_path, "scontrol", f'echo "$@" > {tmp_path}/queue')
    words = ("--config", "a b", "--workdir", "x")
    done = ran("slurm.sbatch", *words, folder=tmp_path, SLURM_JOB_ID="7")
    assert done.returncode == status
    assert (
        (tmp_path / "line")
        .read_text()
        .endswith("m3i pretrain --distributed --config a b --workdir x\n")
    )
    assert (tmp_path / "queue").exists() == queued
    if queued:
        assert (tmp_path / "queue").read_text() == "requeue 7\n"


def test_a_queued_resource_is_made_filled_and_run_on_all_workers(tmp_path):
    place = dict(PROJECT="p", ZONE="z", NAME="m3i")
    done = ran("queued_resource.sh", "--config", "x y", folder=tmp_path, DRY="1", **place)
    assert done.returncode == 0, done.stderr
    create, copy, install, run = done.stdout.splitlines()
    assert create.startswith("gcloud compute tpus queued-resources create m3i --project=p")
    assert "scp --recurse . m3i:m3i_jax" in copy and "jax\\[tpu\\]" in install
    assert all("--worker=all" in line for line in (copy, install, run))
    assert "ssh m3i" in run and "pretrain" in run and "--distributed" in run
    assert ran("queued_resource.sh", folder=tmp_path, DRY="1").returncode != 0, "no name is given"


@pytest.mark.parametrize("last", [0, 2])
def test_a_worker_starts_again_until_it_is_done_or_refused(last, tmp_path):
    """The line that the workers get, where m3i leaves with 75 once and then with `last`."""
    (tmp_path / "m3i" / "bin").mkdir(parents=True)
    count = tmp_path / "count"
    program(
        tmp_path / "m3i" / "bin", "m3i",
        f'echo "$*" >> {count}; [ $(wc -l < {count}) = 1 ] && exit 75; exit {last}',
    )  # fmt: skip
    program(
        tmp_path,
        "gcloud",
        f"""
for word in "$@"; do case "$word" in --command=until*)
  cd {tmp_path} && sleep() {{ :; }} && export -f sleep && exec bash -c "${{word#--command=}}" ;;
esac; done; echo ACTIVE""",
    )
    place = dict(PROJECT="p", ZONE="z", NAME="m3i")
    done = ran("queued_resource.sh", "--config", "x y", folder=tmp_path, **place)
    assert done.returncode == last, done.stderr
    assert count.read_text().splitlines() == ["pretrain --distributed --config x y"] * 2


def test_a_jobset_starts_as_many_processes_as_it_has_pods():
    loaded = yaml.safe_load((FILES / "jobset.yaml").read_text())
    (jobs,) = loaded["spec"]["replicatedJobs"]
    job = jobs["template"]["spec"]
    assert job["parallelism"] == job["completions"] == 4 and job["backoffLimit"] == 0
    (container,) = job["template"]["spec"]["containers"]
    words, name = container["command"], loaded["metadata"]["name"]
    assert "--processes=4" in words and "--process=$(RANK)" in words
    (port,) = container["ports"]
    # The first pod of a job of a JobSet: <set>-<job>-<index>-<pod>.<set>.
    where = f"{name}-{jobs['name']}-0-0.{name}:{port['containerPort']}"
    assert f"--coordinator={where}" in words


def test_skypilot_tells_each_node_who_it_is(tmp_path):
    loaded = yaml.safe_load((FILES / "skypilot.yaml").read_text())
    home = tmp_path / "m3i" / "bin"
    home.mkdir(parents=True)
    program(home, "m3i", 'echo "$@"')
    environment = {
        **os.environ, "HOME": str(tmp_path), "SKYPILOT_NODE_IPS": "10.0.0.5\n10.0.0.6",
        "SKYPILOT_NUM_NODES": str(loaded["num_nodes"]), "SKYPILOT_NODE_RANK": "1",
    }  # fmt: skip
    line = ["bash", "-euc", loaded["run"]]
    done = subprocess.run(line, env=environment, capture_output=True, text=True)
    assert done.stdout.split()[:5] == [
        "pretrain", "--distributed", "--coordinator=10.0.0.5:1234", "--processes=2", "--process=1",
    ]  # fmt: skip
