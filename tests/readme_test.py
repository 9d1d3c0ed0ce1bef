"""What the README shows is what there is: its script runs, its files and commands exist."""

import pathlib
import re

import pytest

from m3i_jax import __main__ as program
from m3i_jax import shipped

ROOT = pathlib.Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()


def test_the_script_runs_and_its_loss_falls():
    (script,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    first = re.search(r"for i in range\(20\)", script).start()
    scope = {}
    exec(script[:first] + "before, _ = step(params, jax.random.key(99))\n", scope)
    exec(script[first:] + "after, _ = step(params, jax.random.key(99))\n", scope)
    assert float(scope["after"]) < float(scope["before"])


def test_every_link_and_program_exists():
    for target in re.findall(r"\]\(([^)h][^)]*)\)", TEXT):
        assert (ROOT / target).exists(), target
    for file in re.findall(r"(?:experiments|configs)/\w+\.(?:py|sh)", TEXT):
        assert (ROOT / file).exists(), file


def test_ci_runs_the_command_of_the_readme():
    ci = (ROOT / ".ci" / "run").read_text()
    (command,) = re.findall(r"The tests:\n\n```sh\n(.*?)\n```", TEXT, re.DOTALL)
    assert command in ci


@pytest.mark.parametrize("page, least", [("README", 6), ("docs/fashion_mnist", 3)])
def test_every_command_and_config_of_m3i_is_there(page, least):
    verbs, configs = program.verbs(), shipped.names()
    text = (ROOT / f"{page}.md").read_text().replace("\\\n", " ")
    lines = re.findall(r"^m3i ([\w-]+)(.*?)(?:#|$)", text, re.MULTILINE)
    assert len(lines) >= least
    for verb, rest in lines:
        assert verb in verbs
        for name in re.findall(r"--config (\S+)", rest):
            assert name.partition(":")[0] in configs
