r"""Prints M3I's Table 5 from the rows of `m3i_jax.methods`, as Markdown.

python experiments/table.py
"""

from m3i_jax import cli


def main() -> None:
    """Prints the table."""
    from m3i_jax import methods

    print(methods.table())


if __name__ == "__main__":
    cli.run(main)
