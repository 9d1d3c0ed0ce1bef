"""A program's text as instructions, against one written by hand."""

import pytest

from m3i_jax.training.planning.instructions import numbers, parsed, sizes, times

PROGRAM = """HloModule m, num_partitions=8

%inner (p: f32[4]) -> f32[4] {
  %p.1 = f32[4]{0:T(128)} parameter(0)
  ROOT %n = f32[4]{0:T(128)} negate(%p.1), metadata={op_name="jit(advance)/seldom/neg"}
}

%turn (t: (s32[], f32[4])) -> (s32[], f32[4]) {
  %t = (s32[], f32[4]{0}) parameter(0)
  %w = (s32[], f32[4]{0}) while(%t), condition=%again, body=%once, backend_config={"known_trip_count":{"n":"3"}}
  ROOT %r = (s32[], f32[4]{0}) tuple(%t, %w)
}

%once (t: (s32[], f32[4])) -> (s32[], f32[4]) {
  ROOT %t.2 = (s32[], f32[4]{0}) parameter(0)
}

%again (t: (s32[], f32[4])) -> pred[] {
  %c = s32[] constant(5)
  ROOT %l = pred[] compare(%c, %c), direction=LT
}

ENTRY %main (p: f32[4]) -> f32[4] {
  %p = f32[4]{0} parameter(0)
  %w.1 = (s32[], f32[4]{0}) while(%p), condition=%again, body=%turn
  %b = f32[4]{0} conditional(%p, %p, %p), branch_computations={%inner, %inner}, metadata={op_name="jit(advance)/seldom/cond"}
  ROOT %f = f32[4]{0:T(128)S(1)} fusion(%b, %w.1), kind=kLoop, calls=%inner
}
"""  # noqa: E501


def test_instructions_have_operands_and_computations():
    entry, computations = parsed(PROGRAM)
    assert entry == "main" and [*computations] == ["inner", "turn", "once", "again", "main"]
    *_, branch, last = computations["main"]
    assert (last.name, last.kind, last.root, branch.root) == ("f", "fusion", True, False)
    assert last.operands == ["b", "w.1"] and last.called == ["inner"]
    assert last.shape == "f32[4]{0:T(128)S(1)}" and last.number is None and last.scope is None
    assert computations["inner"][0].number == 0 and computations["again"][0].number == 5
    assert branch.scope == "jit(advance)/seldom/cond"


def test_loops_run_as_often_as_they_say_or_as_their_condition_compares():
    """Five turns of three; both branches, of a tenth of the runs."""
    entry, computations = parsed(PROGRAM)
    found = times(entry, computations, {"seldom": 0.1})
    assert found == {"main": 1, "turn": 5, "once": 15, "inner": pytest.approx(0.2)}
    assert times(entry, computations, {})["inner"] == 2


@pytest.mark.parametrize(
    "shape, slow, fast",
    [
        ("f32[4,3]{1,0}", [48], [48]),
        ("(bf16[4]{0}, s8[2,2]{1,0:T(8,128)(4,1)S(1)}, pred[])", [8, 0, 1], [8, 4, 1]),
        ("s4[10]{0}", [5], [5]),
    ],
)
def test_sizes_are_bytes_of_what_lies_in_memory(shape, slow, fast):
    assert sizes(shape) == slow and sizes(shape, fast=True) == fast
    assert numbers(shape) == {1: {48: 12, 5: 10}.get(slow[0]), 3: 9}[len(slow)]
