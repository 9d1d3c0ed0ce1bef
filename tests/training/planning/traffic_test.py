"""Bytes of single instructions, of programs written by hand, against counts by hand."""

import pytest

from m3i_jax.training.planning import traffic
from m3i_jax.training.planning.instructions import parsed

STACK, ROW, SCALAR = 10 * 64 * 4, 64 * 4, 4  # bytes of f32[10,64], f32[1,64] and an index

SUM = """%sum (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %c = f32[] add(%a, %b)
}
"""


def crossed(main, *fused):
    """Bytes of the root of a program; its arguments are s (10, 64), u (1, 64) and i, an index."""
    text = "\n".join([
        "HloModule m", "", SUM, *fused,
        "ENTRY %main (s: f32[10,64], u: f32[1,64], i: s32[]) -> f32[10,64] {",
        "  %s = f32[10,64]{1,0} parameter(0)", "  %u = f32[1,64]{1,0} parameter(1)",
        "  %i = s32[] parameter(2)", "  %z = s32[] constant(0)",
        *(f"  {line}" for line in main.strip().splitlines()), "}",
    ])  # fmt: skip
    entry, computations = parsed(text)
    known = {one.name: one for one in computations[entry]}
    return traffic.of(computations[entry][-1], known, computations)


@pytest.mark.parametrize(
    "line, bytes",
    [
        ("f32[10,64]{1,0} add(%s, %s)", 3 * STACK),
        ("f32[1,64]{1,0} dynamic-slice(%s, %i, %z), dynamic_slice_sizes={1,64}", 2 * ROW + 8),
        ("f32[3,64]{1,0} slice(%s), slice={[2:5], [0:64]}", 6 * ROW),
        # A row is read and written; the rest of the array stays where it is.
        ("f32[10,64]{1,0} dynamic-update-slice(%s, %u, %i, %z)", 2 * ROW + 8),
        ("f32[10,64]{1,0:S(1)} dynamic-update-slice(%s, %u, %i, %z)", ROW + 8),
        ("f32[1,64]{1,0} gather(%s, %i), slice_sizes={1,64}", 2 * ROW + SCALAR),
        # The row that it is added to is read as well.
        ("f32[10,64]{1,0} scatter(%s, %i, %u), to_apply=%sum", 3 * ROW + SCALAR),
        ("f32[64]{0} reduce(%s, %z), dimensions={0}, to_apply=%sum", STACK + 64 * 4 + SCALAR),
        ("f32[20,64]{1,0} concatenate(%s, %s), dimensions={0}", 4 * STACK),
        ("f32[10,64]{1,0} custom-call(%s, %u), custom_call_target=\"kernel\"", 2 * STACK + ROW),
        ("f32[640]{0} bitcast(%s)", 0),
    ],
)  # fmt: skip
def test_of_one_instruction(line, bytes):
    assert crossed(f"ROOT %r = {line}") == bytes


def fusion(body, root):
    """A fusion of all arguments, its lines and what it returns."""
    return f"""%fused (p: f32[10,64], q: f32[1,64], j: s32[]) -> {root.split(" ")[0]} {{
  %p = f32[10,64]{{1,0}} parameter(0)
  %q = f32[1,64]{{1,0}} parameter(1)
  %j = s32[] parameter(2)
  %o = s32[] constant(0)
  {body}
  ROOT %t = {root}
}}
"""


ROWS = "f32[1,64]{1,0}"
WHOLE = "f32[10,64]{1,0}"


@pytest.mark.parametrize(
    "body, root, read, written",
    [
        # A slice, and one of what is computed of the whole.
        ("", f"{ROWS} dynamic-slice(%p, %j, %o)", ROW + SCALAR, ROW),
        (
            f"%n = f32[10,64]{{1,0}} negate(%p)\n  %d = {ROWS} dynamic-slice(%n, %j, %o)",
            f"{ROWS} add(%d, %q)", 2 * ROW + SCALAR, ROW,
        ),
        # Two slices of one array, and an array that is read whole beside a slice of it.
        (
            f"%d = {ROWS} dynamic-slice(%p, %j, %o)\n  %e = {ROWS} slice(%p)",
            f"{ROWS} add(%d, %e)", 2 * ROW + SCALAR, ROW,
        ),
        (
            f"%d = {ROWS} dynamic-slice(%p, %j, %o)\n  %b = {WHOLE} broadcast(%d)",
            f"{WHOLE} add(%p, %b)", STACK + SCALAR, STACK,
        ),
        # In place: what is written there, and a row that is added to where it lies.
        ("", f"{WHOLE} dynamic-update-slice(%p, %q, %j, %o)", ROW + SCALAR, ROW),
        (
            f"%d = {ROWS} dynamic-slice(%p, %j, %o)\n  %e = {ROWS} add(%d, %q)",
            f"{WHOLE} dynamic-update-slice(%p, %e, %j, %o)", 2 * ROW + SCALAR, ROW,
        ),
        (
            "%n = f32[640]{0} bitcast(%p)\n  %w = f32[64]{0} bitcast(%q)\n"
            "  %k = f32[640]{0} dynamic-update-slice(%n, %w, %j)",
            f"{WHOLE} bitcast(%k)", ROW + SCALAR, ROW,
        ),
        ("", f"{WHOLE} scatter(%p, %j, %q), to_apply=%sum", 2 * ROW + SCALAR, ROW),
        # Not in place: what is updated was computed here, or is computed with afterwards.
        (
            f"%n = {WHOLE} negate(%p)",
            f"{WHOLE} dynamic-update-slice(%n, %q, %j, %o)", STACK + ROW + SCALAR, STACK,
        ),
        (
            f"%k = {WHOLE} dynamic-update-slice(%p, %q, %j, %o)",
            f"{WHOLE} negate(%k)", STACK + ROW + SCALAR, STACK,
        ),
        # A sum over rows of a part.
        (
            "%d = f32[5,64]{1,0} slice(%p)",
            "f32[64]{0} reduce(%d, %o), to_apply=%sum", STACK / 2, ROW,
        ),
        ("", "f32[64,64]{1,0} dot(%p, %p)", STACK, ROW * 64),
    ],
)  # fmt: skip
def test_of_a_fusion(body, root, read, written):
    shape = root.split(" ")[0]
    line = f"ROOT %r = {shape} fusion(%s, %u, %i), kind=kLoop, calls=%fused"
    assert crossed(line, fusion(body, root)) == read + written


def test_of_a_fusion_in_a_fusion_and_of_several_results():
    """A row written in place by an inner fusion, and a sum of the row that was there."""
    inner = """%inner (a: f32[10,64], b: f32[1,64], c: s32[]) -> f32[10,64] {
  %a = f32[10,64]{1,0} parameter(0)
  %b = f32[1,64]{1,0} parameter(1)
  %c = s32[] parameter(2)
  %d = s32[] constant(0)
  ROOT %e = f32[10,64]{1,0} dynamic-update-slice(%a, %b, %c, %d)
}
"""
    body = f"%d = {ROWS} dynamic-slice(%p, %j, %o)\n  %e = {ROWS} add(%d, %q)\n" \
        f"  %f = {WHOLE} fusion(%p, %e, %j), kind=kLoop, calls=%inner"  # fmt: skip
    outer = fusion(body, f"({WHOLE}, {ROWS}) tuple(%f, %e)")
    line = f"ROOT %r = ({WHOLE}, {ROWS}) fusion(%s, %u, %i), kind=kLoop, calls=%fused"
    assert crossed(line, inner, outer) == (2 * ROW + SCALAR) + 2 * ROW
    # Where the outer one goes on with what the inner one makes, all of it is read and written.
    outer = fusion(body, f"{WHOLE} negate(%f)")
    line = f"ROOT %r = {WHOLE} fusion(%s, %u, %i), kind=kLoop, calls=%fused"
    assert crossed(line, inner, outer) == (STACK + ROW + SCALAR) + STACK


def test_what_lies_in_fast_memory_counts_nothing():
    body, shape = f"%d = {ROWS} dynamic-slice(%p, %j, %o)", "f32[1,64]{1,0:S(1)}"
    lines = f"""%v = f32[1,64]{{1,0:T(8,128)S(1)}} copy(%u)
ROOT %r = {shape} fusion(%s, %v, %i), kind=kLoop, calls=%fused"""
    assert crossed(lines, fusion(body, f"{ROWS} add(%d, %q)")) == ROW + SCALAR


IN, OUT, ELSE = "f32[10,64]{1,0}", "f32[10,64]{1,0:T(8,128)S(1)}", "u32[]{:S(2)}"


@pytest.mark.parametrize(
    "line, bytes",
    [
        (f"({OUT}, {IN}, {ELSE}) copy-start(%s)", STACK),  # fetched
        (f"({IN}, {OUT}, {ELSE}) copy-start(%v)", STACK),  # put back
        (f"({IN}, {IN}, {ELSE}) copy-start(%s)", 2 * STACK),
        (f"(({IN}), f32[1,64]{{1,0:S(1)}}, {ELSE}) slice-start(%s)", ROW),
        (f"(({OUT}), f32[1,64]{{1,0}}, {ELSE}) slice-start(%v)", ROW),
        (
            f"(({IN}, s32[], s32[]), f32[1,64]{{1,0:S(1)}}, {ELSE}) "
            "dynamic-slice-start(%s, %i, %z)", ROW + 8,
        ),
        (f"({IN}, f32[80,64]{{1,0}}) all-gather-start(%s), channel_id=1", 9 * STACK),
        (f"{IN} all-reduce-start(%s), channel_id=1", 2 * STACK),
        (f"({IN}, {OUT}, {ELSE}, {ELSE}) collective-permute-start(%s), channel_id=1", STACK),
        (f"{IN} copy-done(%s)", 0),
    ],
)  # fmt: skip
def test_what_is_started_counts_there_and_once(line, bytes):
    assert crossed(f"%v = {OUT} copy(%s)\nROOT %r = {line}") == bytes
