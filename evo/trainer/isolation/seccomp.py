"""Seccomp filter (cBPF bytecode) that refuses system calls which a sandbox does not need and an attack could use.

Numbers and constants are from Linux (asm/unistd_64.h, linux/seccomp.h, linux/audit.h). Calls that are not listed are allowed.
"""

import platform
import struct
from collections.abc import Collection

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_NUMBERS = {  # name: (x86_64, aarch64)
    # memory of other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    # memory that no process maps and that is not counted
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    # storage that outlives a process, and so a pass of the verifier
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    # namespaces and file systems
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    # attack surface of the kernel
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "kexec_load": (246, 104),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "swapon": (167, 224),
    "reboot": (169, 142),
    "acct": (163, 89),
    "quotactl": (179, 60),
}
_CLONE, _CLONE3 = (56, 220), 435
_CLONE_NEWUSER = 0x10000000
_SOCKET, _AF_PACKET = (41, 198), 17
"""Socket families from this number on are refused: raw packets, vsock, the kernel's crypto interface."""
_X32 = 0x40000000
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data, little-endian
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000
_EPERM, _ENOSYS = 1, 38


def program(machine: str = "", allowed: Collection[str] = ()) -> bytes | None:
    """Return the filter for a processor architecture, or None if its system call numbers are not known.

    clone3 fails with ENOSYS, so that the C library falls back to clone, whose flags the filter can check.

    Args:
        machine: Name of the architecture. Default: this machine's.
        allowed: Listed calls that are not refused.
    """
    machine = machine or platform.machine()
    if machine not in _ARCHITECTURES:
        return None
    place = list(_ARCHITECTURES).index(machine)
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IF_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _REFUSE | _EPERM),
        (_LOAD, 0, 0, _NUMBER),
        *_refuse(_IF_AT_LEAST, _X32, _EPERM),
        *_refuse(_IF_EQUAL, _CLONE3, _ENOSYS),
    ]
    for name, numbers in _NUMBERS.items():
        if name not in allowed:
            steps += _refuse(_IF_EQUAL, numbers[place], _EPERM)
    steps += [
        (_IF_EQUAL, 0, 4, _SOCKET[place]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        *_refuse(_IF_AT_LEAST, _AF_PACKET, _EPERM),
        (_RETURN, 0, 0, _ALLOW),
        (_IF_EQUAL, 0, 3, _CLONE[place]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        *_refuse(_IF_BITS, _CLONE_NEWUSER, _EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("<HBBI", *step) for step in steps)


def _refuse(test: int, value: int, error: int) -> list[tuple[int, int, int, int]]:
    """Return the two instructions that make a call fail with `error` if the test holds."""
    return [(test, 0, 1, value), (_RETURN, 0, 0, _REFUSE | error)]
