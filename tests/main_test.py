"""`m3i VERB`: the commands, from any folder."""

import subprocess
import sys

import pytest

import m3i_jax
from m3i_jax import __main__ as program

VERBS = (
    "analyze convert data embed evaluate export figure finetune launch list plan prepare pretrain"
    " replay report study train_tokenizer"
).split()


def m3i(*words, cwd, python=()):
    line = [sys.executable, *python, "-m", "m3i_jax", *words]
    return subprocess.run(line, capture_output=True, text=True, cwd=cwd)


def test_a_version_is_said_at_once(tmp_path):
    done = m3i("--version", cwd=tmp_path, python=("-X", "importtime"))
    assert done.stdout == f"m3i_jax {m3i_jax.__version__}\n" and done.returncode == 0
    assert not {"jax", "absl"} & {
        line.rpartition("|")[2].strip() for line in done.stderr.splitlines()
    }


def test_every_verb_says_in_a_line_what_it_does(tmp_path):
    known = program.verbs()
    assert list(known) == VERBS and all(title.endswith(".") for title in known.values())
    done = m3i(cwd=tmp_path)
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()[2:]] == VERBS


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["lst"], "there is no 'm3i lst'; did you mean 'list'?"),
        (["list", "confgs"], "no list of 'confgs'; did you mean 'configs'?"),
        (["evaluate", "--wrokdir=x"], "Unknown command line flag 'wrokdir'"),
        (["plan", "--config=digit_scenes/mea"], "did you mean 'digit_scenes/mae'?"),
        (["plan", "stray"], "there is no source or folder 'stray'"),
        (["train_tokenizer", "stray"], "'stray' is not a flag"),
    ],
)
def test_a_wrong_word_is_one_sentence(words, sentence, tmp_path):
    done = m3i(*words, cwd=tmp_path)
    assert done.returncode == 2 and sentence in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and not list(tmp_path.iterdir())


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_what_a_command_does_and_all_its_flags(verb, tmp_path):
    done = m3i(verb, "--help", cwd=tmp_path, python=("-X", "importtime"))
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "m3i_jax.usage" in imported and "jax" not in imported, "it waits a second for nothing"
    assert done.returncode == 0 and done.stdout.startswith(program.verbs()[verb]), done.stderr
    assert f"    m3i {verb}" in done.stdout and "experiments/" not in done.stdout
    if verb not in ("list", "plan", "convert", "data", "prepare", "launch", "replay"):
        assert "--workdir=WORKDIR" in done.stdout
    takes_config = verb in ("data", "finetune", "pretrain", "plan", "train_tokenizer")
    assert ("--config=FILE[:ARGUMENT]" in done.stdout) == takes_config


def test_a_config_that_comes_with_us_is_planned_from_an_empty_folder(tmp_path):
    done = m3i("plan", "--config=imagenet/mae_vit_b16", cwd=tmp_path)
    assert done.returncode == 0 and "111,655,680" in done.stdout, done.stderr
