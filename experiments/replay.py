"""`m3i replay`; --help shows its flags."""

from m3i_jax.commands import replay

__doc__ = replay.__doc__  # what --help shows

if __name__ == "__main__":
    replay.run()
