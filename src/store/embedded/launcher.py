"""Become a PostgreSQL program: give up root, arrange to die with the service, execute.

The service runs this file as a script of its own (`python -I -S launcher.py PARENT SIGNAL UID GID FOLDER PROGRAM
ARGUMENT...`), so that what must happen between fork and exec happens in a process without other threads. It uses the
standard library only, and imports nothing of Cordboard.

PostgreSQL refuses to run as root. Started by root, the launcher becomes the user UID with the group GID (both 0: stay
as you are). When that user cannot reach PROGRAM or FOLDER, because a folder above them is closed to it, it keeps the
one capability that lets it look into folders, rather than anyone opening a folder of the machine.

Whatever fails is one line on standard error and exit status 126.
"""

import ctypes
import os
import sys

EXIT_CANNOT_LAUNCH = 126

# linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS = 28
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
# linux/securebits.h: capabilities do not change with the user id, and access(2) takes them into account.
_SECBIT_NO_SETUID_FIXUP = 1 << 2
# linux/capability.h
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2


class _CapHeader(ctypes.Structure):
    """`struct __user_cap_header_struct`."""

    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapData(ctypes.Structure):
    """`struct __user_cap_data_struct`: the lower 32 capabilities in the first of two, the others in the second."""

    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def main(arguments: list[str]) -> None:
    """Do what the module says. Returns only by an exception."""
    parent, death_signal, uid, gid = (int(argument) for argument in arguments[:4])
    folder, *command = arguments[4:]
    if uid:
        _become(uid, gid, [command[0], folder])
    if sys.platform == "linux":
        # After the change of user, which clears it.
        _prctl(_PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:
        raise SystemExit(f"process {parent}, which wanted this, is gone")
    os.umask(0o077)
    # Nothing of the service's environment reaches PostgreSQL: PG* variables would change what it does.
    os.execve(command[0], command, {"LC_ALL": "C", "PATH": os.defpath})  # noqa: S606 - there is no shell to want


def _become(uid: int, gid: int, needed: list[str]) -> None:
    """Become another user for good, with no more rights than it takes to reach the paths needed."""
    os.setgroups([])
    os.setgid(gid)
    keeps_rights = sys.platform == "linux" and _try_prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP)
    os.setuid(uid)
    if not keeps_rights:
        _require_reach(needed)
        return
    held = _permitted()
    for capability in (None, _CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE):
        right = 0 if capability is None else 1 << capability
        if right & ~held:
            continue
        _set_capabilities(effective=right, permitted=held)
        if _unreachable(needed) is None:
            _set_capabilities(effective=right, permitted=right)
            if capability is not None:
                # Ambient capabilities are the ones that survive executing an ordinary program.
                _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)
            return
    _require_reach(needed)


def _unreachable(paths: list[str]) -> str | None:
    """Return the first path that this process may not use, if there is one."""
    return next((path for path in paths if not os.access(path, os.R_OK | os.X_OK)), None)


def _require_reach(paths: list[str]) -> None:
    """Stop with one line when a path cannot be used."""
    path = _unreachable(paths)
    if path is not None:
        raise SystemExit(
            f"PostgreSQL does not run as root, and the user with id {os.getuid()} cannot reach {path}: "
            "run the service as an ordinary user, or let others pass through (chmod o+x) the folders above it"
        )


def _libc() -> ctypes.CDLL:
    """Return the C library of this process."""
    return ctypes.CDLL(None, use_errno=True)


def _try_prctl(option: int, *values: int) -> bool:
    """Call prctl(2) and return whether it was done."""
    padded = (*values, 0, 0, 0, 0)[:4]
    return bool(_libc().prctl(option, *(ctypes.c_ulong(value) for value in padded)) == 0)


def _prctl(option: int, *values: int) -> None:
    """Call prctl(2)."""
    if not _try_prctl(option, *values):
        raise OSError(ctypes.get_errno(), f"prctl({option}): {os.strerror(ctypes.get_errno())}")


def _permitted() -> int:
    """Return the lower 32 capabilities that this process may use, as bits."""
    data = (_CapData * 2)()
    if _libc().capget(ctypes.byref(_CapHeader(_CAPABILITY_VERSION_3, 0)), data) != 0:
        raise OSError(ctypes.get_errno(), f"capget: {os.strerror(ctypes.get_errno())}")
    return int(data[0].permitted)


def _set_capabilities(*, effective: int, permitted: int) -> None:
    """Set this process's capabilities; the upper 32, which nobody here needs, are dropped."""
    data = (_CapData * 2)(_CapData(effective, permitted, effective), _CapData(0, 0, 0))
    if _libc().capset(ctypes.byref(_CapHeader(_CAPABILITY_VERSION_3, 0)), data) != 0:
        raise OSError(ctypes.get_errno(), f"capset: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except SystemExit as refusal:
        sys.stderr.write(f"{refusal}\n")
    except OSError as error:
        sys.stderr.write(f"cannot start {sys.argv[6]}: {error}\n")
    sys.exit(EXIT_CANNOT_LAUNCH)
