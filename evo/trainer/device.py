"""Compute devices: detection, Ray resources of a slot, and the clock used for ranking.

All device detection and configuration is in this module. The MPS and CUDA paths are thin and tested with a fake device.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evo.errors import EvoError

Kind = Literal["cpu", "cuda", "mps"]


@dataclass(frozen=True)
class Device:
    """Kind of compute device and the way trainings use it."""

    kind: Kind
    slots: int
    """Concurrent trainings on this machine."""
    threads: int
    """CPU threads per training."""

    @property
    def ranks_by_cpu(self) -> bool:
        """Whether relative cost is measured in CPU seconds of the process tree rather than wall seconds."""
        return self.kind == "cpu"

    @property
    def start(self) -> str:
        """How the launcher starts a job, "fork" or "exec". macOS cannot fork once the Objective-C frameworks are loaded."""
        return "exec" if sys.platform == "darwin" or self.kind != "cpu" else "fork"

    @property
    def ray_resources(self) -> dict[str, float]:
        """Ray resources that a trainer requests. `mps` is a custom resource that allows one training at a time."""
        if self.kind == "cuda":
            return {"num_cpus": 0, "num_gpus": 1}
        if self.kind == "mps":
            return {"num_cpus": 0, "resources": {"mps": 1}}  # type: ignore[dict-item]
        return {"num_cpus": self.threads}

    @property
    def nodes(self) -> tuple[Path, ...]:
        """Device files that a sandbox needs (NVIDIA's for CUDA, otherwise none)."""
        return tuple(sorted(Path("/dev").glob("nvidia*"))) if self.kind == "cuda" else ()

    def environment(self) -> dict[str, str]:
        """Return only the environment variables that a sandbox needs for this device."""
        wanted = {"OMP_NUM_THREADS": str(self.threads), "MKL_NUM_THREADS": str(self.threads)}
        if self.kind == "cuda":
            wanted["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
            if "CUDA_VISIBLE_DEVICES" in os.environ:
                wanted["CUDA_VISIBLE_DEVICES"] = os.environ["CUDA_VISIBLE_DEVICES"]
        if self.kind == "mps":
            wanted["PYTORCH_ENABLE_MPS_FALLBACK"] = "1"  # must be set before torch is imported; hides slow operations
        return wanted


def cpu_count() -> int:
    """Return the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def find(kind: str = "auto", slots: int = 0, threads: int = 1) -> Device:
    """Return the device to train on. Imports torch.

    Args:
        kind: "cpu", "cuda", "mps" or "auto". "auto" picks CUDA, then MPS, then the CPU.
        slots: concurrent trainings; 0 for as many as the device allows. MPS always has one slot.
        threads: CPU threads per training.

    Raises:
        EvoError: if torch does not see the requested device.
    """
    import torch

    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = torch.backends.mps.is_available()
    if kind == "auto":
        kind = "cuda" if cuda else "mps" if mps else "cpu"
    if (kind == "cuda" and not cuda) or (kind == "mps" and not mps):
        raise EvoError(f"device {kind} was asked for, and torch sees none", hint="use --device cpu", kind="device")
    if kind == "cuda":
        return Device("cuda", min(slots or cuda, cuda), threads)
    if kind == "mps":
        return Device("mps", 1, threads)
    return Device("cpu", slots or max(1, cpu_count() // threads), threads)
