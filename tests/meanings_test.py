"""Meanings are read from docstrings as they are written here."""

import functools

import pytest

from m3i_jax import meanings


def explained(fn, *, width, depth=1, name="", other=0, size=1):
    """A function; note: this is no parameter.

    Of `other`: nothing is said in a line of its own.

    Args:
      width, depth: of the blocks, of which there
        are several.
      name: what it is called: a text.  size: of it (see there).
    """


def test_names_in_front_of_a_colon_have_what_follows_it():
    assert meanings.of(explained) == {
        "width": "of the blocks, of which there are several.",
        "depth": "of the blocks, of which there are several.",
        "name": "what it is called: a text.",
        "size": "of it (see there).",
    }
    assert meanings.of(functools.partial(explained, width=3)) == meanings.of(explained)
    assert meanings.title(explained) == "A function; note: this is no parameter."


@pytest.mark.parametrize(
    "text, found",
    [
        ("a: one.\nb: two.", {"a": "one.", "b": "two."}),
        ("a: one\n  and more.\n\nNo end.", {"a": "one and more."}),
        ("a: one\n  b: of the same.", {"a": "one b: of the same."}),
        ("a: one.  b, c: two.", {"a": "one.", "b": "two.", "c": "two."}),
        ("a: one. b: not two", {"a": "one. b: not two"}),
        ("In words, a: one", {}),
        ("a:one", {}),
    ],
)
def test_an_entry_begins_a_line_or_stands_behind_two_spaces(text, found):
    assert dict(meanings.entries(text)) == found


def test_what_a_function_leaves_unsaid_its_module_says(monkeypatch):
    def silent(*, alpha, beta):
        """Says nothing of alpha.

        beta: its own.
        """

    monkeypatch.setattr("tests.meanings_test.__doc__", "All.\n\nalpha: shared.\nbeta: shared.")
    assert meanings.of(silent) == {"alpha": "shared.", "beta": "its own."}
