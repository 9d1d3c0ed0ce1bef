"""`m3i study`; --help shows its flags."""

from m3i_jax.commands import study

__doc__ = study.__doc__  # what --help shows

if __name__ == "__main__":
    study.run()
