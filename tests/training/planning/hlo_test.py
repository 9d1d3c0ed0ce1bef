"""What compiled programs move, against programs whose traffic is known by arithmetic."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from m3i_jax.training.planning.hlo import largest, moved

WIDE = 1024 * 256 * 4  # bytes of an array


def text(fn, *shapes, shardings=None):
    given = {"in_shardings": shardings} if shardings else {}
    return jax.jit(fn, **given).lower(*shapes).compile().as_text()


def test_a_fusion_reads_and_writes_once():
    x = jax.ShapeDtypeStruct((1024, 256), jnp.float32)
    found = moved(text(lambda x, y: jnp.sin(x) * y + 1.0, x, x))
    assert found == (3 * WIDE, {}, 0)


def test_a_loop_counts_as_often_as_it_runs_and_by_its_slices():
    """Ten turns over a stack: each reads a slice and the carry, and writes the carry."""
    x, xs = (jax.ShapeDtypeStruct(s, jnp.float32) for s in ((1024, 256), (10, 1024, 256)))
    scan = lambda x, xs: jax.lax.scan(lambda c, y: (jnp.sin(c) * y, None), x, xs)[0]  # noqa: E731
    found = moved(text(scan, x, xs))
    # Beside them the counter, and at most a copy of the carry on the way in.
    assert 30 * WIDE <= found.traffic <= 32 * WIDE + 1000


STACK, ROW, PLACE = ((10, 64), "float32"), ((1, 64), "float32"), ((), "int32")


@pytest.mark.parametrize(
    "fn, shapes, donated",
    [
        (lambda s, i: jax.lax.dynamic_slice_in_dim(s, i, 1), (STACK, PLACE), ()),
        (lambda s, u, i: jax.lax.dynamic_update_slice(s, u, (i, 0)), (STACK, ROW, PLACE), 0),
        (
            lambda s, u, i: jax.lax.dynamic_update_slice(
                s, u + jax.lax.dynamic_slice_in_dim(s, i, 1), (i, 0)
            ),
            (STACK, ROW, PLACE),
            0,
        ),
        (lambda s: (2 * s[2:5]).sum(0), (STACK,), ()),
    ],
    ids=["a slice", "an update", "a sum into a slice", "a sum of slices"],
)
def test_slices_count_as_by_the_compilers_own_count(fn, shapes, donated):
    """Which is right where there is no loop; without donation there were a copy in front."""
    shapes = [jax.ShapeDtypeStruct(*shape) for shape in shapes]
    program = jax.jit(fn, donate_argnums=donated).lower(*shapes).compile()
    found = moved(program.as_text()).traffic
    assert found == program.cost_analysis()["bytes accessed"] < 10 * 64 * 4


def test_a_loop_writes_into_a_stack_a_row_in_each_turn():
    """Ten rows of what is stacked and ten of what is read, however long the stacks are."""

    def rows(taken):
        xs = jax.ShapeDtypeStruct((taken, 1024, 256), jnp.float32)
        scan = lambda xs: jax.lax.scan(lambda i, _: (i + 1, jnp.sin(xs[i])), 0, None, length=10)  # noqa: E731
        return moved(text(lambda xs: scan(xs)[1], xs)).traffic

    few, many = rows(10), rows(40)
    # Beside them zeros that the stack is filled with before, or not, and counters.
    assert 20 * WIDE <= few <= 30 * WIDE + 2000 and abs(many - few) < 2000


@pytest.mark.parametrize("turns", [1, 5])
def test_collectives_are_counted_with_their_bytes(turns):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    rows, whole = NamedSharding(mesh, P("data")), NamedSharding(mesh, P())

    def step(w, x):
        def turn(w, _):
            return w + x.T @ (x @ w), None

        return jax.lax.scan(turn, w, None, length=turns)[0]

    shapes = (jax.ShapeDtypeStruct(s, jnp.float32) for s in ((16, 32), (64, 16)))
    found = moved(text(step, *shapes, shardings=(whole, rows)))
    size = turns * 16 * 32 * 4
    assert found.collectives == {"all-reduce": (turns, size)} and found.sent == size * 2 * 7 / 8


def test_of_an_asynchronous_pair_one_counts():
    program = """HloModule m

ENTRY %main (p: bf16[8,4]) -> bf16[64,4] {
  %p = bf16[8,4]{1,0} parameter(0)
  %s = (bf16[8,4]{1,0}, bf16[64,4]{1,0}) all-gather-start(%p), dimensions={0}
  %q = bf16[8,4]{1,0:T(8,128)S(1)} copy(%p)
  ROOT %d = bf16[64,4]{1,0} all-gather-done(%s)
}
"""
    found = moved(program)
    assert found.collectives == {"all-gather": (1, 64 * 4 * 2)}
    # The pair: 64 bytes in and 512 out; the copy reads 64 and writes to fast memory.
    assert found.traffic == 64 + 512 + 64


def test_a_computation_goes_on_behind_what_a_kernel_says_of_itself():
    program = """HloModule m

ENTRY %main (p: f32[64]) -> f32[64] {
  %p = f32[64]{0} parameter(0)
  %k = f32[64]{0} custom-call(%p), frontend_attributes={kernel_metadata={
 "block_q":"512"
}}, metadata={op_name="jit(advance)/attn"}
  ROOT %r = f32[64]{0} negate(%k)
}
"""
    assert moved(program).traffic == 4 * 64 * 4


def test_a_branch_under_a_scope_counts_by_its_share():
    def fn(taken, x):
        with jax.named_scope("seldom"):
            return jax.lax.cond(taken, lambda x: jnp.sin(x) @ x.T, lambda x: x @ x.T, x)

    program = text(fn, jax.ShapeDtypeStruct((), bool), jax.ShapeDtypeStruct((64, 32), jnp.float32))
    never, half, always = (moved(program, shares={"seldom": n}).traffic for n in (0.0, 0.5, 1.0))
    # A product reads 64 x 32 numbers, perhaps twice, and writes 64 x 64.
    assert always - never >= 2 * 4 * (64 * 32 + 64 * 64) and half == (never + always) / 2
    assert moved(program).traffic == always


def test_the_largest_results_are_named_by_what_makes_them():
    def advance(x):
        with jax.named_scope("wide"):
            return jnp.sin(x @ x.T)  # a result, which no compiler can leave unwritten

    program = text(advance, jax.ShapeDtypeStruct((256, 16), jnp.float32))
    first = largest(program, count=1)[0]
    assert first.size == 256 * 256 * 4 and first.shape == "f32[256,256]" and "wide" in first.name


def test_collectives_in_fusions_count_once():
    """Gathered while a product runs, which names the collective three times; and a sum that is
    scattered."""
    program = """HloModule m, num_partitions=8

%start (p: bf16[8,4]) -> bf16[64,4] {
  %p = bf16[8,4]{1,0} parameter(0)
  ROOT %g = bf16[64,4]{1,0} all-gather(%p), channel_id=2, dimensions={0}
}

%during (p: bf16[8,4]) -> bf16[64,4] {
  %p = bf16[8,4]{1,0} parameter(0)
  ROOT %g = bf16[64,4]{1,0:S(1)} all-gather(%p), channel_id=2, dimensions={0}
}

%all-reduce-scatter.1 (p: f32[64,4]) -> f32[8,4] {
  %p = f32[64,4]{1,0} parameter(0)
  %a = f32[64,4]{1,0} all-reduce(%p), channel_id=2
  ROOT %d = f32[8,4]{1,0} dynamic-slice(%a)
}

ENTRY %main (p: bf16[8,4], q: f32[64,4]) -> f32[8,4] {
  %p = bf16[8,4]{1,0} parameter(0)
  %q = f32[64,4]{1,0} parameter(1)
  %s = bf16[64,4]{1,0} fusion(%p), kind=kCustom, calls=%start
  %t = bf16[64,4]{1,0} fusion(%p), kind=kOutput, calls=%during
  ROOT %r = f32[8,4]{1,0} fusion(%q), kind=kCustom, calls=%all-reduce-scatter.1
}
"""
    found = moved(program)
    gathered, scattered = 64 * 4 * 2, 8 * 4 * 4
    assert found.collectives == {"all-gather": (1, gathered), "reduce-scatter": (1, scattered)}
    # Of eight parts each device sends on seven: of what is gathered, and of what is summed.
    assert found.sent == gathered * 7 / 8 + scattered * 7


@pytest.mark.parametrize(
    "kind, groups, sent",
    [
        ("all-reduce", "replica_groups={{0,1,2,3},{4,5,6,7}}", 2 * 3 / 4),
        ("all-gather", "replica_groups=[4,2]<=[2,4]T(1,0)", 1 / 2),
        ("reduce-scatter", "replica_groups=mesh['a'=4,'b'=2] {'a'}", 3),
        ("all-reduce", "replica_groups=mesh['a'=4,'b'=2] {'b','a':(2)2}", 2 * 3 / 4),
        ("all-to-all", "", 7 / 8),
        ("collective-permute", "source_target_pairs={{0,1},{1,0}}", 1),
    ],
)
def test_what_is_sent_depends_on_how_many_join(kind, groups, sent):
    program = f"""HloModule m, num_partitions=8

ENTRY %main (p: f32[64]) -> f32[64] {{
  %p = f32[64]{{0}} parameter(0)
  ROOT %c = f32[64]{{0}} {kind}(%p), channel_id=1, {groups}
}}
"""
    assert moved(program).sent == 64 * 4 * sent
