"""Command lines: `--config FILE[:ARG] --config.key=value --workdir DIR`, answered in sentences.

Light on purpose: a misspelt key is refused before jax is imported.
"""

import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from logging import getLogger

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from m3i_jax.build import ConfigError, nearest

USAGE = 2  # exit status for a command line or config that cannot be run


def run(main: Callable[[], int | None], *, config: str | None = None) -> None:
    """Parses the flags and calls `main()`; a ConfigError becomes one sentence and status 2.

    config: default config file of the command, None if it takes no config.
    """

    def guarded(argv: Sequence[str]) -> int | None:
        # app.run lets every library speak; ours do, the others only warn.
        logging.set_verbosity(logging.WARNING)
        getLogger("m3i_jax").setLevel("INFO")
        if argv[1:]:
            raise ConfigError(f"'{argv[1]}' is not a flag; flags start with --")
        return main()

    try:
        if config is not None:
            check_overrides(sys.argv, config)
            # Defining the flag parses the overrides already.
            config_flags.DEFINE_config_file("config", config, "What to run.", lock_config=True)
        app.run(guarded, flags_parser=flags.FLAGS)
    except (ConfigError, flags.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(USAGE)


def check_overrides(argv: Sequence[str], default: str) -> None:
    """Refuses a missing config file and every `--config.key` that the file does not have."""
    chosen = default
    for i, word in enumerate(argv):
        if word in ("--config", "-config") and i + 1 < len(argv):
            chosen = argv[i + 1]
        elif word.startswith(("--config=", "-config=")):
            chosen = word.split("=", 1)[1]
    config = load(chosen)
    for word in argv[1:]:
        name = word.lstrip("-").split("=", 1)[0]
        if word.startswith("-") and name.startswith("config."):
            _check_key(config, name.removeprefix("config."))


def load(path: str) -> ConfigDict:
    """The config that a file's `get_config` returns; `FILE:ARG` passes ARG to it."""
    path, _, argument = path.partition(":")
    if not os.path.isfile(path):
        folder = os.path.dirname(path) or "."
        files = os.listdir(folder) if os.path.isdir(folder) else []
        there = [file for file in files if file.endswith(".py")]
        raise ConfigError(f"no config file '{path}'{nearest(os.path.basename(path), there)}")
    # A config may import what lies beside it.
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    spec = importlib.util.spec_from_file_location("config", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(argument) if argument else module.get_config()


def _check_key(config: ConfigDict, key: str) -> None:
    node, walked = config, "config"
    for part in key.split("."):
        if not isinstance(node, ConfigDict):
            raise ConfigError(f"{walked} is a single value and has no key '{part}'")
        if part not in node:
            raise ConfigError(f"{walked} has no key '{part}'{nearest(part, node.keys())}")
        node, walked = node[part], f"{walked}.{part}"
