"""A seccomp filter in classic BPF: no new process, no socket, no kernel interface of its own.

It makes the address-space limit a true bound of memory and ends fork bombs.
"""

from __future__ import annotations

import errno
import platform
import struct
from functools import cache

DENIED: dict[str, tuple[int | None, int | None]] = {
    "fork": (57, None),
    "vfork": (58, None),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "unshare": (272, 97),
    "setns": (308, 268),
    "chroot": (161, 51),
    "pivot_root": (155, 41),
    "mount": (165, 40),
    "umount2": (166, 39),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "modify_ldt": (154, None),
    "acct": (163, 89),
    "personality": (135, 92),
}
"""System calls that end in EPERM, with their numbers on x86_64 and aarch64 (None: it has none)."""

MACHINES = ("x86_64", "aarch64")
AUDIT_ARCH = (0xC000003E, 0xC00000B7)
CLONE, PRCTL, CLONE3 = (56, 220), (157, 167), 435
CLONE_THREAD, PR_SET_PDEATHSIG = 0x10000, 1
X32 = 0x40000000

LOAD, JUMP_EQ, JUMP_GE, JUMP_SET, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCH, ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data; the low half of args[0]
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000


@cache
def program(machine: str | None = None) -> bytes:
    """Return the filter as an array of `struct sock_filter` for a machine (None: this one).

    A process may be made by no call: fork, vfork and clone without CLONE_THREAD are refused,
    and clone3, whose flags a filter cannot read, is said not to exist. The signal that ends a
    sandbox with its parent cannot be taken off. A call by the numbers of another architecture
    (as 32-bit programs make on the same machine) ends the process, and so x32's are refused:
    what the filter does not know it does not let through. Raises ValueError for a machine whose
    numbers are not listed here.
    """
    machine = machine or platform.machine()
    if machine not in MACHINES:
        raise ValueError(f"the seccomp filter knows {' and '.join(MACHINES)}, not {machine}")
    column = MACHINES.index(machine)
    deny = (RETURN, 0, 0, ERRNO | errno.EPERM)
    code = [
        (LOAD, 0, 0, ARCH),
        (JUMP_EQ, 1, 0, AUDIT_ARCH[column]),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
        (JUMP_GE, 0, 1, X32),
        deny,
        (JUMP_EQ, 0, 1, CLONE3),
        (RETURN, 0, 0, ERRNO | errno.ENOSYS),
    ]
    for numbers in DENIED.values():
        if (number := numbers[column]) is not None:
            code += [(JUMP_EQ, 0, 1, number), deny]
    code += [
        (JUMP_EQ, 0, 3, CLONE[column]),
        (LOAD, 0, 0, ARGUMENT),
        (JUMP_SET, 4, 0, CLONE_THREAD),
        deny,
        (JUMP_EQ, 0, 2, PRCTL[column]),
        (LOAD, 0, 0, ARGUMENT),
        (JUMP_EQ, 1, 0, PR_SET_PDEATHSIG),
        (RETURN, 0, 0, ALLOW),
        deny,
    ]
    return b"".join(struct.pack("<HBBI", *line) for line in code)
