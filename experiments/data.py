"""`m3i data`; --help shows its flags."""

from m3i_jax.commands import data

__doc__ = data.__doc__  # what --help shows

if __name__ == "__main__":
    data.run()
