"""Command lines: `--config FILE[:ARG] --config.key=value --workdir DIR`, answered in sentences.

Light on purpose: a misspelt key is refused before jax is imported. A block of a config also takes
keys that the file leaves to their defaults; whether there is such a key, the library knows.

Exit status of a program:

     0  done
     2  a command line or a config that cannot be run
    65  too much of the data cannot be read
    73  the work directory is in use by another run
    74  a checkpoint cannot be written or read
    75  asked to leave by a signal: everything is saved, and the same command goes on
"""

import difflib
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from logging import getLogger

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from m3i_jax.build import ConfigError, UserError, nearest

USAGE = ConfigError.status
ALIKE = 0.8  # similarity of a new key to one that is there from which it counts as misspelt


def run(main: Callable[[], int | None], *, config: str | None = None) -> None:
    """Parses the flags and calls `main()`; a UserError becomes one sentence and its status.

    config: default config file of the command, None if it takes no config.
    """

    def guarded(argv: Sequence[str]) -> int | None:
        # app.run lets every library speak; ours do, the others only warn.
        logging.set_verbosity(logging.WARNING)
        getLogger("m3i_jax").setLevel("INFO")
        if argv[1:]:
            raise ConfigError(f"'{argv[1]}' is not a flag; flags start with --, values follow =")
        return main()

    try:
        if config is not None:
            check_overrides(sys.argv, config)
            # Defining the flag parses the overrides already.
            config_flags.DEFINE_config_file(
                "config", config, "What to run.", lock_config=False, accept_new_attributes=True
            )
        app.run(guarded, flags_parser=flags.FLAGS)
    except (UserError, flags.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.status if isinstance(error, UserError) else USAGE)


def check_overrides(argv: Sequence[str], default: str) -> None:
    """Refuses a missing config file, and keys that neither it nor one of its blocks can have."""
    chosen = default
    for i, word in enumerate(argv):
        if word in ("--config", "-config") and i + 1 < len(argv):
            chosen = argv[i + 1]
        elif word.startswith(("--config=", "-config=")):
            chosen = word.split("=", 1)[1]
    config = load(chosen)
    for word in argv[1:]:
        name = word.lstrip("-").split("=", 1)[0].removeprefix("no")  # --noconfig.key is False
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
    """Refuses a key that the file lacks, unless it is in a block and like no other key there."""
    node, walked, parts = config, "config", key.split(".")
    for depth, part in enumerate(parts, 1):
        if not isinstance(node, ConfigDict):
            raise ConfigError(f"{walked} is a single value and has no key '{part}'")
        if part not in node:
            alike = difflib.get_close_matches(part, node.keys(), n=1, cutoff=ALIKE)
            if 1 < depth == len(parts) and not alike:
                return
            raise ConfigError(f"{walked} has no key '{part}'{nearest(part, node.keys())}")
        node, walked = node[part], f"{walked}.{part}"
