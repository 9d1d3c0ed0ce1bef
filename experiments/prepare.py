"""`m3i prepare`; --help shows its flags."""

from m3i_jax.commands import prepare

__doc__ = prepare.__doc__  # what --help shows

if __name__ == "__main__":
    prepare.run()
