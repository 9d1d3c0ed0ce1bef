"""The store where processes meet, which outlives the one that began it."""

import os
import socket
import time

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.parallel import coordinator

TABLE = """\
  sl  local_address                         remote_address                        st tx_queue
   0: 00000000000000000000000000000000:8707 00000000000000000000000000000000:0000 0A 00000000
   1: 0000000000000000FFFF00000100007F:8707 0000000000000000FFFF00000100007F:C0DE 01 00000000
   2: 0000000000000000FFFF00000100007F:C0DE 0000000000000000FFFF00000100007F:8707 01 00000000
   3: 0000000000000000FFFF00000100007F:8707 0000000000000000FFFF00000100007F:C0DF 06 00000000
"""


def test_who_is_connected_is_counted_and_who_listens_or_has_left_is_not():
    assert coordinator.connected(0x8707, TABLE.splitlines()) == 1
    assert coordinator.connected(0xC0DE, TABLE.splitlines()) == 1
    assert coordinator.connected(0x0707, TABLE.splitlines()) == 0
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert coordinator.connected(port, coordinator._lines()) == 0
        with socket.create_connection(("127.0.0.1", port)):
            assert coordinator.connected(port, coordinator._lines()) == 1


def test_it_stays_as_long_as_its_parent_is_there_or_somebody_wants_it(monkeypatch):
    looks = iter([True, True, False])
    monkeypatch.setattr(coordinator, "PAUSE", 0.001)
    parents = iter([7, 7, 1])
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    coordinator.outlive(7, lambda: next(looks))
    assert next(parents, None) is None and next(looks, None) is None
    monkeypatch.setattr(os, "getppid", lambda: 1)
    start = time.monotonic()
    coordinator.outlive(7, lambda: True, longest=0.05)
    assert 0.05 <= time.monotonic() - start < 5


def test_a_port_that_another_program_has_or_that_cannot_be_had_is_said(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ConfigError, match="another program's; give --coordinator another"):
            coordinator.begin(address, 2, heartbeat=40, earlier=0.1)
    monkeypatch.setenv("JAX_COORDINATOR_BIND_ADDRESS", "no.such.host.invalid:1")
    with pytest.raises(ConfigError, match="no store for the processes can be kept at"):
        coordinator.begin(address, 2, heartbeat=40)
