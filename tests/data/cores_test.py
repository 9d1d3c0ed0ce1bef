"""Cores that a process may use: those it is bound to, and what its control groups allow."""

import os

import pytest

from m3i_jax.data import cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux binds processes to cores")
def test_a_bound_process_has_fewer_cores():
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(own)})
    try:
        assert cores.usable() == 1
    finally:
        os.sched_setaffinity(0, own)
    assert 1 <= cores.usable() <= len(own)


def test_a_quota_counts_and_that_of_a_group_around(tmp_path):
    own, inner = tmp_path / "own", tmp_path / "pod" / "box"
    inner.mkdir(parents=True)
    own.write_text("0::/pod/box\n")
    assert [*cores.quotas(mount=tmp_path, own=own)] == []
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (inner.parent / "cpu.max").write_text("150000 100000\n")
    (inner / "cpu.max").write_text("800000 100000\n")
    assert [*cores.quotas(mount=tmp_path, own=own)] == [8.0, 1.5]


def test_control_groups_of_version_one(tmp_path):
    own, group = tmp_path / "own", tmp_path / "cpu" / "pod"
    group.mkdir(parents=True)
    own.write_text("5:memory:/pod\n3:cpu,cpuacct:/pod\n")
    (group / "cpu.cfs_period_us").write_text("100000")
    (group / "cpu.cfs_quota_us").write_text("-1")
    assert [*cores.quotas(mount=tmp_path, own=own)] == []
    (group / "cpu.cfs_quota_us").write_text("250000")
    assert [*cores.quotas(mount=tmp_path, own=own)] == [2.5]
    assert [*cores.quotas(mount=tmp_path, own=tmp_path / "nothing")] == []


def test_a_quota_rounds_up_and_never_to_none(monkeypatch):
    monkeypatch.setattr(cores, "quotas", lambda: [0.2])
    assert cores.usable() == 1
