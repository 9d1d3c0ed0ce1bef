"""Parameter paths, and ordered rules over them: the one way to select parameters.

Paths are slash-joined names, such as `encoders/image/blocks/attention/qkv/kernel`.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import jax

from m3i_jax.types import Array

Rules = Sequence[tuple[str, Any]]

# Running statistics of norms: leaves of the tree that no loss trains (`nn.norms.TrackedBatchNorm`).
STATISTICS = r"(^|/)(mean|var)$"


def path_name(path: tuple) -> str:
    """Slash-joined name of a `jax.tree_util` key path."""
    return "/".join(str(getattr(k, "key", getattr(k, "name", getattr(k, "idx", k)))) for k in path)


def map_with_name(fn: Callable[[str, Any], Any], tree: Any) -> Any:
    """Maps `fn(path, leaf)` over the leaves of `tree`."""
    return jax.tree_util.tree_map_with_path(lambda path, leaf: fn(path_name(path), leaf), tree)


def named_leaves(tree: Any) -> list[tuple[str, Array]]:
    """The leaves of `tree` with their paths, in traversal order."""
    return [(path_name(p), leaf) for p, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def first_match(rules: Rules, path: str) -> Any:
    """Value of the first rule whose pattern is found in `path`.

    Raises:
      ValueError: no rule matches; end the list with `(".*", default)` to allow that.
    """
    for pattern, value in rules:
        if re.search(pattern, path):
            return value
    patterns = ", ".join(repr(pattern) for pattern, _ in rules)
    raise ValueError(f"no rule matches parameter '{path}'; the rules are {patterns}")


def select(tree: dict, pattern: str) -> dict:
    """Sub-tree of nested dicts holding only the leaves whose path matches `pattern`."""
    return _pruned(tree, lambda path: bool(re.search(pattern, path)))


def drop(tree: dict, pattern: str) -> dict:
    """Sub-tree of nested dicts without the leaves whose path matches `pattern`."""
    return _pruned(tree, lambda path: not re.search(pattern, path))


def _pruned(tree: dict, keep: Callable[[str], bool]) -> dict:
    """Sub-tree of the leaves to keep; a dict that loses all its leaves goes, too."""

    def prune(node, prefix):
        kept = {}
        for name, child in node.items():
            path = f"{prefix}{name}"
            if isinstance(child, dict):
                if below := prune(child, path + "/"):
                    kept[name] = below
            elif keep(path):
                kept[name] = child
        return kept

    return prune(tree, "")


def overlay(tree: dict, patch: dict) -> dict:
    """Nested dict `tree` with the leaves of `patch` put in their places."""
    merged = dict(tree)
    for name, child in patch.items():
        inner = merged.get(name)
        both = isinstance(child, dict) and isinstance(inner, dict)
        merged[name] = overlay(inner, child) if both else child
    return merged


def count(tree: Any) -> int:
    """Number of scalars in the leaves of `tree` (arrays or shapes)."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))
