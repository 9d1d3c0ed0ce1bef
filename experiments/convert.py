"""`m3i convert`; --help shows its flags."""

from m3i_jax.commands import convert

__doc__ = convert.__doc__  # what --help shows

if __name__ == "__main__":
    convert.run()
