"""`m3i list`; --help shows its flags."""

from m3i_jax.commands import list

__doc__ = list.__doc__  # what --help shows

if __name__ == "__main__":
    list.run()
