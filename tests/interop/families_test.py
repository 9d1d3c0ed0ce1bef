"""Every field of a family is one of its encoder, and what is left out is what transformers has."""

import pytest

from m3i_jax import encoders
from m3i_jax.interop import families


@pytest.mark.parametrize("kind", families.FAMILIES)
def test_a_family_speaks_of_fields_that_its_encoder_has(kind):
    family = families.FAMILIES[kind]
    fields = {field for field, _, _ in family.fields.values()} | family.fixed.keys()
    strange = {field for field in fields if not encoders.accepts(family.encoder, field)}
    assert strange <= {"image"}, strange
    assert not family.fields.keys() & family.only.keys(), "a key is read or fixed"


def test_defaults_are_those_of_transformers():
    transformers = pytest.importorskip("transformers")
    for kind, family in families.FAMILIES.items():
        config = transformers.AutoConfig.for_model(kind)
        known = {key: default for key, (_, _, default) in family.fields.items()} | family.only
        for key, default in known.items():
            theirs = getattr(config, key)
            same = list(theirs) if isinstance(theirs, tuple) else theirs
            assert same == default, f"{kind}: {key} is {theirs!r}"
