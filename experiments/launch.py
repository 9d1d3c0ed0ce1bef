"""`m3i launch`; --help shows its flags."""

from m3i_jax.commands import launch

__doc__ = launch.__doc__  # what --help shows

if __name__ == "__main__":
    launch.run()
