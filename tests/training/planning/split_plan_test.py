"""A plan says which parameters are split, and over which axes."""

from m3i_jax.parallel import sharding
from m3i_jax.training.planning.plan import plan

CUBE = {"data": 2, "fsdp": 2, "tensor": 2}


def split(said):
    """{path of a parameter: how a plan says that it is split}."""
    return {
        line.split()[0]: " ".join(line.split()[1:]) for line in said.splitlines() if "/" in line
    }


def test_the_plan_says_what_is_split_and_how(shrunk, monkeypatch):
    monkeypatch.setattr(sharding, "SMALL", 2**7)
    rows = split(plan(shrunk("clip", mesh=CUBE, epoch_size=100)))
    assert rows["encoders/image/blocks/attn/qkv/kernel"] == "2 x 64 over fsdp x 192 over tensor"
    assert rows["encoders/text/token_embed"].endswith("over fsdp+tensor x 64")
    assert "split over devices" not in plan(shrunk("clip", mesh={"data": 8}, epoch_size=100))


def test_a_table_of_classes_is_said_to_be_split_by_rows(shrunk, monkeypatch):
    """Over fsdp and tensor where they divide its rows, by FSDP's rule where they do not."""
    monkeypatch.setattr(sharding, "SMALL", 2**7)
    for size, shape in ((12, "12 over fsdp+tensor x 64"), (10, "10 x 64 over fsdp")):
        config = shrunk("m3i", mesh=CUBE, epoch_size=100, **{"towers.category.size": size})
        assert split(plan(config))["encoders/category/kernel"] == shape
