"""Public arrays say their shapes, and the tests hold calls to what is said."""

import ast
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from m3i_jax import geometry, losses
from m3i_jax.types import Box
from tests import shapes

PACKAGE = pathlib.Path(__file__).parent.parent / "m3i_jax"
MODULES = [
    path
    for name in shapes.CHECKED.split()
    for path in (
        (PACKAGE / name).rglob("*.py") if (PACKAGE / name).is_dir() else [PACKAGE / f"{name}.py"]
    )
]
# What holds no call to its shapes, as modules are called in traces, and says them all the same.
STATED = [p for name in ("nn", "encoders", "decoders") for p in (PACKAGE / name).rglob("*.py")]
ARRAYS = {"Array", "ArrayLike", "ndarray"}
# What may be Any: networks and parameters of whatever kind, states, and records of later modules.
OPAQUE = set(
    "network params states state owned found balance weighting prepared target "
    "weights changes tree value block overrides given options".split()
)


def arguments(function):
    spec = function.args
    every = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, spec.vararg, spec.kwarg]
    return [a for a in every if a is not None and a.arg not in ("self", "cls")]


def public(path):
    """(name, annotation or None) of the parameters, results and fields of a module."""
    owners = [ast.parse(path.read_text())]
    owners += [c for c in owners[0].body if isinstance(c, ast.ClassDef) and c.name[0] != "_"]
    for owner in owners:
        for node in owner.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                for argument in arguments(node):
                    yield f"{node.name}({argument.arg})", argument.arg, argument.annotation
                yield f"{node.name} ->", "", node.returns
            elif isinstance(node, ast.AnnAssign):
                yield f"{node.target.id}:", node.target.id, node.annotation


def bare(annotation):
    """Whether an annotation names an array without a shape, outside of Float[…] and its like."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return bare(ast.parse(annotation.value, mode="eval").body)
    if isinstance(annotation, ast.Subscript):
        kind = getattr(annotation.value, "id", "")
        if issubclass(getattr(jaxtyping, kind, object), jaxtyping.AbstractDtype):
            return False
        if kind == "Annotated":  # what is behind the type is no annotation
            return bare(annotation.slice.elts[0])
    if getattr(annotation, "id", getattr(annotation, "attr", "")) in ARRAYS:
        return True
    return any(bare(child) for child in ast.iter_child_nodes(annotation))


@pytest.mark.parametrize("path", MODULES + STATED, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_public_arrays_have_a_shape(path):
    for where, name, annotation in public(path):
        assert annotation is not None, f"{where} of {path.name} has no annotation"
        text = ast.unparse(annotation)
        assert not bare(annotation), f"{where} {text} of {path.name} is an array without a shape"
        assert name in OPAQUE or text not in ("Any", "Any | None"), f"{where} {text} of {path.name}"


@pytest.mark.parametrize(
    "text, lacks",
    [
        ("Array", True),
        ("dict[str, jax.Array]", True),
        ("Callable[[Array], Float[Array, 'batch']]", True),
        ("'Box | np.ndarray'", True),
        ("Float[Array, 'batch dim'] | None", False),
        ("tuple[Int32[Array, ''], Box]", False),
    ],
)
def test_an_array_without_a_shape_is_found(text, lacks):
    assert bare(ast.parse(text, mode="eval").body) == lacks


def test_a_shape_that_would_broadcast_in_silence_is_refused():
    with pytest.raises(jaxtyping.TypeCheckError, match="positions"):
        losses.huber(jnp.zeros((4, 3)), jnp.zeros((1, 3)))


def test_a_kind_of_number_that_is_not_meant_is_refused():
    with pytest.raises(jaxtyping.TypeCheckError, match="index"):
        losses.categorical(jnp.zeros((4, 3)), jnp.zeros(4))


def test_a_result_of_another_shape_is_refused():
    def two(x: jaxtyping.Float[jax.Array, " rows"]) -> jaxtyping.Float[jax.Array, " rows"]:
        return x[:2]

    checked = jaxtyping.jaxtyped(two, typechecker=shapes.checked)
    assert checked(jnp.zeros(2)).shape == (2,)
    with pytest.raises(jaxtyping.TypeCheckError, match="return value"):
        checked(jnp.zeros(3))


def test_the_fields_of_a_record_are_looked_into():
    whole = Box(*jnp.ones((6, 4)))
    with pytest.raises(jaxtyping.TypeCheckError) as refused:
        geometry.relation(whole, whole._replace(frame=jnp.ones(1)))
    assert "Box.frame" in str(refused.value.__cause__.__cause__)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, jnp.bfloat16])
@pytest.mark.parametrize("temperature", [1, 1.0, np.float32(1), np.ones(()), jnp.ones(())])
def test_numpy_low_precision_and_python_numbers_are_inside_the_contract(dtype, temperature):
    one = np.ones((2, 3), dtype)
    shares = losses.cross_entropy(one, one, temperature=temperature)
    np.testing.assert_allclose(shares, 3 * np.log(3), rtol=1e-6)


def test_outside_of_the_tests_nothing_is_checked():
    code = (
        "import sys, numpy as np; from m3i_jax import losses;"
        "print(losses.huber(np.zeros((4, 3)), np.zeros((1, 3))).shape, 'beartype' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split("\n")[0] == "(4,) False"
