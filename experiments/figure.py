"""`m3i figure`; --help shows its flags."""

from m3i_jax.commands import figure

__doc__ = figure.__doc__  # what --help shows

if __name__ == "__main__":
    figure.run()
