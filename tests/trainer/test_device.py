"""Devices: CUDA and MPS are faked in torch, the rest is ours."""

import os
import sys

import pytest
import torch

from evo.errors import EvoError
from evo.trainer import device as devices
from evo.trainer.device import Device


@pytest.fixture
def machine(monkeypatch):
    """Make torch see so many CUDA devices, and MPS or not."""

    def made(cuda=0, mps=False, cpus=8):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(devices, "cpu_count", lambda: cpus)

    return made


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ({"cuda": 2, "mps": True}, Device("cuda", 2, 1)),
        ({"cuda": 2}, Device("cuda", 2, 1)),
        ({"mps": True}, Device("mps", 1, 1)),
        ({}, Device("cpu", 8, 1)),
    ],
)
def test_auto_takes_cuda_before_mps_before_the_cpu(machine, there, expected):
    machine(**there)
    assert devices.find() == expected


@pytest.mark.parametrize(
    ("kind", "slots", "threads", "expected"),
    [
        ("cpu", 0, 1, Device("cpu", 8, 1)),
        ("cpu", 0, 4, Device("cpu", 2, 4)),
        ("cpu", 0, 16, Device("cpu", 1, 16)),
        ("cpu", 3, 2, Device("cpu", 3, 2)),
        ("cuda", 0, 2, Device("cuda", 4, 2)),
        ("cuda", 1, 1, Device("cuda", 1, 1)),
        ("cuda", 9, 1, Device("cuda", 4, 1)),
        ("mps", 0, 1, Device("mps", 1, 1)),
        ("mps", 5, 3, Device("mps", 1, 3)),
    ],
)
def test_a_device_that_is_asked_for_has_the_slots_there_are(machine, kind, slots, threads, expected):
    machine(cuda=4, mps=True)
    assert devices.find(kind, slots, threads) == expected


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused(machine, kind):
    machine()
    with pytest.raises(EvoError) as refused:
        devices.find(kind)
    assert refused.value.kind == "device"
    assert kind in refused.value.message
    assert "--device cpu" in refused.value.hint


def test_cuda_that_is_installed_and_sees_no_device_is_refused(machine, monkeypatch):
    machine()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert devices.find().kind == "cpu"
    with pytest.raises(EvoError):
        devices.find("cuda")


@pytest.mark.parametrize(
    ("device", "resources"),
    [
        (Device("cpu", 4, 2), {"num_cpus": 2}),
        (Device("cuda", 4, 2), {"num_cpus": 0, "num_gpus": 1}),
        (Device("mps", 1, 2), {"num_cpus": 0, "resources": {"mps": 1}}),
    ],
)
def test_a_trainer_asks_ray_for_one_slot(device, resources):
    assert device.ray_resources == resources


@pytest.mark.parametrize(("kind", "by_cpu"), [("cpu", True), ("cuda", False), ("mps", False)])
def test_cost_is_cpu_seconds_on_the_cpu_and_wall_seconds_elsewhere(kind, by_cpu):
    assert Device(kind, 1, 1).ranks_by_cpu is by_cpu


@pytest.mark.parametrize(
    ("platform", "kind", "start"),
    [
        ("linux", "cpu", "fork"),
        ("linux", "cuda", "exec"),
        ("darwin", "cpu", "exec"),
        ("darwin", "mps", "exec"),
    ],
)
def test_a_job_is_forked_only_where_that_is_safe(monkeypatch, platform, kind, start):
    monkeypatch.setattr(sys, "platform", platform)
    assert Device(kind, 1, 1).start == start


def test_a_cpu_sandbox_is_told_its_threads_and_nothing_else():
    assert Device("cpu", 4, 3).environment() == {"OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "3"}


def test_a_cuda_sandbox_sees_the_devices_that_its_trainer_sees(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    monkeypatch.setenv("CUDA_CANARY", "canary")
    assert Device("cuda", 1, 1).environment() == {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "CUDA_VISIBLE_DEVICES": "2",
    }
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert "CUDA_VISIBLE_DEVICES" not in Device("cuda", 1, 1).environment()


def test_an_mps_sandbox_falls_back_to_the_cpu_for_what_mps_lacks(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    assert Device("mps", 1, 1).environment() == {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "PYTORCH_ENABLE_MPS_FALLBACK": "1",
    }


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinity")
def test_only_the_cpus_that_this_process_may_use_are_counted():
    before = os.sched_getaffinity(0)
    assert devices.cpu_count() == len(before)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert devices.cpu_count() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_every_cpu_counts_where_there_is_no_affinity(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert devices.cpu_count() == os.cpu_count()
