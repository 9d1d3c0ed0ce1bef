"""A plan says which parameters are split, and over which axes."""

from m3i_jax.parallel import sharding
from m3i_jax.training.planning.plan import plan

CUBE = {"data": 2, "fsdp": 2, "tensor": 2}


def test_the_plan_says_what_is_split_and_how(shrunk, monkeypatch):
    monkeypatch.setattr(sharding, "SMALL", 2**7)
    said = plan(shrunk("clip", mesh=CUBE, epoch_size=100))
    rows = {
        line.split()[0]: " ".join(line.split()[1:]) for line in said.splitlines() if "/" in line
    }
    assert rows["encoders/image/blocks/attn/qkv/kernel"] == "2 x 64 over fsdp x 192 over tensor"
    assert rows["encoders/text/token_embed"].endswith("over fsdp+tensor x 64")
    assert "split over devices" not in plan(shrunk("clip", mesh={"data": 8}, epoch_size=100))
