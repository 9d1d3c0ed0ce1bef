"""`m3i report`; --help shows its flags."""

from m3i_jax.commands import report

__doc__ = report.__doc__  # what --help shows

if __name__ == "__main__":
    report.run()
