"""Why a file could not be locked."""

from __future__ import annotations

import errno
from typing import Final

from portalocker.exceptions import AlreadyLocked, LockException

_HELD: Final = frozenset({errno.EACCES, errno.EAGAIN})
"""What POSIX says of a lock that another process holds."""


def is_held(error: LockException) -> bool:
    """Whether another process holds the lock; else files can't be locked there at all.

    portalocker says it by the error's class from 2.8 on. Before, which frameworks such as CrewAI ask for, only the
    system's own error tells, and `Lock.acquire` names either AlreadyLocked.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            return cause.errno in _HELD
        cause = cause.__cause__ or cause.__context__
    return isinstance(error, AlreadyLocked)
