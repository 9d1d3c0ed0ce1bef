"""What can be wrong with what lies on disk; each is a sentence for the user, with its status."""

import os

from m3i_jax.build import ConfigError, UserError


class CheckpointError(UserError, RuntimeError):
    """A checkpoint that cannot be written or read."""

    status = os.EX_IOERR


class Mismatch(CheckpointError):
    """A sound checkpoint of something else; the message lists the paths that differ."""

    status = ConfigError.status


class NotFinite(UserError, ArithmeticError):
    """Training that has left the finite numbers: nothing of it is sealed."""

    status = os.EX_SOFTWARE


class CopiesDiffer(UserError, RuntimeError):
    """Devices that should hold the same numbers, and do not: nothing of it is sealed."""

    status = os.EX_OSERR


class Unwritable(UserError, OSError):
    """A file or folder that cannot be written."""

    status = os.EX_IOERR


class Locked(UserError, RuntimeError):
    """Another process holds the directory; the message says which."""

    status = os.EX_CANTCREAT


class Damage(Exception):
    """A sealed directory that is not what was sealed; the message names the file and the fault.

    Not for the user: whoever reads checkpoints goes back to a sound one, or says CheckpointError.
    """


def damaged(step: int, damage: Damage) -> str:
    """What is said of a checkpoint that is not what was sealed."""
    return f"checkpoint step {step} is damaged: {damage}"
