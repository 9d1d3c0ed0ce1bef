"""`m3i export`; --help shows its flags."""

from m3i_jax.commands import export

__doc__ = export.__doc__  # what --help shows

if __name__ == "__main__":
    export.run()
