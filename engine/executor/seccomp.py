"""The worker's system-call filter: an allow-list, installed for every thread of the process.

A worker computes, reads descriptors it was handed, and writes spill files; the list holds what that takes and
nothing that names a network, another process or a new program. What is not on it fails with EPERM. `clone` may
only make threads, `tgkill` may only reach the process itself, `prctl` may only name threads.
Numbers: linux/arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

_LD_ABS, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NR_OFFSET, _ARCH_OFFSET, _ARG0_OFFSET = 0, 4, 16
_CLONE_THREAD = 0x00010000
_PR_SET_NAME, _PR_SET_VMA = 15, 0x53564D41
_SECCOMP_SET_MODE_FILTER, _FLAG_TSYNC = 1, 1
_X32_BIT = 0x40000000

# name: (x86_64, aarch64); None where the architecture does not have it.
_CALLS: dict[str, tuple[int | None, int | None]] = {
    "access": (21, None),
    "brk": (12, 214),
    "clock_getres": (229, 114),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "close": (3, 57),
    "close_range": (436, 436),
    "dup": (32, 23),
    "dup2": (33, None),
    "dup3": (292, 24),
    "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21),
    "epoll_pwait": (281, 22),
    "epoll_wait": (232, None),
    "eventfd2": (290, 19),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "fadvise64": (221, 223),
    "fallocate": (285, 47),
    "fcntl": (72, 25),
    "fdatasync": (75, 83),
    "flock": (73, 32),
    "fstat": (5, 80),
    "fstatfs": (138, 44),
    "fsync": (74, 82),
    "ftruncate": (77, 46),
    "futex": (202, 98),
    "getcpu": (309, 168),
    "getcwd": (79, 17),
    "getdents64": (217, 61),
    "getegid": (108, 177),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getpeername": (52, 205),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "getrandom": (318, 278),
    "getrlimit": (97, 163),
    "getrusage": (98, 165),
    "getsockname": (51, 204),
    "getsockopt": (55, 209),
    "gettid": (186, 178),
    "gettimeofday": (96, 169),
    "getuid": (102, 174),
    "ioctl": (16, 29),
    "lseek": (8, 62),
    "lstat": (6, None),
    "madvise": (28, 233),
    "membarrier": (324, 283),
    "mincore": (27, 232),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "munmap": (11, 215),
    "nanosleep": (35, 101),
    "newfstatat": (262, 79),
    "open": (2, None),
    "openat": (257, 56),
    "pipe": (22, None),
    "pipe2": (293, 59),
    "poll": (7, None),
    "ppoll": (271, 73),
    "pread64": (17, 67),
    "preadv": (295, 69),
    "preadv2": (327, 286),
    "prlimit64": (302, 261),
    "pselect6": (270, 72),
    "pwrite64": (18, 68),
    "pwritev": (296, 70),
    "pwritev2": (328, 287),
    "read": (0, 63),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "readv": (19, 65),
    "recvfrom": (45, 207),
    "recvmsg": (47, 212),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "restart_syscall": (219, 128),
    "rmdir": (84, None),
    "rseq": (334, 293),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sched_getaffinity": (204, 123),
    "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120),
    "sched_setaffinity": (203, 122),
    "sched_yield": (24, 124),
    "select": (23, None),
    "sendmsg": (46, 211),
    "sendto": (44, 206),
    "set_robust_list": (273, 99),
    "set_tid_address": (218, 96),
    "setsockopt": (54, 208),
    "shutdown": (48, 210),
    "sigaltstack": (131, 132),
    "stat": (4, None),
    "statfs": (137, 43),
    "statx": (332, 291),
    "sysinfo": (99, 179),
    "times": (100, 153),
    "umask": (95, 166),
    "uname": (63, 160),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "write": (1, 64),
    "writev": (20, 66),
}
_CLONE, _CLONE3, _PRCTL, _TGKILL = (56, 220), (435, 435), (157, 167), (234, 131)
_MACHINES = {"x86_64": (0, 0xC000003E, 317), "aarch64": (1, 0xC00000B7, 277)}
"""machine: (column above, AUDIT_ARCH, number of seccomp(2))."""


def _step(code: int, k: int, jump_true: int = 0, jump_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, jump_true, jump_false, k)


def program(machine: str, pid: int) -> bytes:
    """The BPF program for `machine` (x86_64, aarch64) and the process `pid`.

    Raises:
        OSError: no list for this machine.
    """
    if machine not in _MACHINES:
        raise OSError(errno.ENOSYS, "no system-call list for this machine")
    column, arch, _ = _MACHINES[machine]
    refuse = _step(_RET, _ERRNO | errno.EPERM)
    allow = _step(_RET, _ALLOW)
    steps = [_step(_LD_ABS, _ARCH_OFFSET), _step(_JEQ, arch, 1, 0), _step(_RET, _KILL_PROCESS)]
    steps.append(_step(_LD_ABS, _NR_OFFSET))
    steps += [_step(_JGE, _X32_BIT, 0, 1), refuse]
    for numbers in _CALLS.values():
        number = numbers[column]
        if number is not None:
            steps += [_step(_JEQ, number, 0, 1), allow]
    # glibc falls back to clone, whose flags a filter can read, when clone3 does not exist.
    steps += [_step(_JEQ, _CLONE3[column], 0, 1), _step(_RET, _ERRNO | errno.ENOSYS)]
    steps += [_step(_JEQ, _CLONE[column], 0, 4), _step(_LD_ABS, _ARG0_OFFSET), _step(_JSET, _CLONE_THREAD, 0, 1)]
    steps += [allow, refuse]
    steps += [_step(_JEQ, _PRCTL[column], 0, 5), _step(_LD_ABS, _ARG0_OFFSET), _step(_JEQ, _PR_SET_NAME, 1, 0)]
    steps += [_step(_JEQ, _PR_SET_VMA, 0, 1), allow, refuse]
    steps += [_step(_JEQ, _TGKILL[column], 0, 4), _step(_LD_ABS, _ARG0_OFFSET), _step(_JEQ, pid, 0, 1)]
    steps += [allow, refuse, refuse]
    return b"".join(steps)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def install() -> None:
    """Put the filter on every thread of this process, for good. `no_new_privs` must be set.

    Raises:
        OSError: the kernel or the machine does not have it.
    """
    machine = platform.machine()
    code = program(machine, os.getpid())
    buffer = ctypes.create_string_buffer(code, len(code))
    described = _Program(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)
    number = _MACHINES[machine][2]
    if libc.syscall(number, _SECCOMP_SET_MODE_FILTER, _FLAG_TSYNC, ctypes.byref(described)) != 0:
        code_number = ctypes.get_errno()
        raise OSError(code_number, os.strerror(code_number))
