"""`m3i plan`; --help shows its flags."""

from m3i_jax.commands import plan

__doc__ = plan.__doc__  # what --help shows

if __name__ == "__main__":
    plan.run()
