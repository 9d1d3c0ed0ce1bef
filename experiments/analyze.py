"""`m3i analyze`; --help shows its flags."""

from m3i_jax.commands import analyze

__doc__ = analyze.__doc__  # what --help shows

if __name__ == "__main__":
    analyze.run()
