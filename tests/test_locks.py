"""A lock that somebody holds is told from a disk that has no locks, whichever portalocker says it."""

from __future__ import annotations

import errno
from pathlib import Path

import portalocker
import pytest
from portalocker.exceptions import AlreadyLocked, LockException

from tasb_qdrant.locks import is_held


def as_2_7_says_it(number: int) -> LockException:
    """`lock` wraps whatever the system says in a LockException, and `Lock.acquire` that in AlreadyLocked."""
    try:
        try:
            try:
                raise OSError(number, "the system's words")
            except OSError as error:
                raise LockException(error) from None  # without a cause: the context remains
        except LockException as error:
            raise AlreadyLocked(error)  # noqa: B904  # as portalocker does
    except AlreadyLocked as error:
        return error


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EACCES])
def test_a_lock_of_another_is_held(number: int) -> None:
    assert is_held(as_2_7_says_it(number))


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EBADF, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_not_held_whatever_the_class_says(number: int) -> None:
    assert not is_held(as_2_7_says_it(number))


def test_without_a_word_of_the_system_the_class_decides() -> None:
    assert is_held(AlreadyLocked(LockException.LOCK_FAILED, "a lock violation"))
    assert not is_held(LockException(LockException.LOCK_FAILED, "a stale descriptor"))


def test_a_real_lock_is_held(tmp_path: Path) -> None:
    flags = portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING
    with (tmp_path / "lock").open("w") as first, (tmp_path / "lock").open("w") as second:
        portalocker.lock(first, flags)
        with pytest.raises(LockException) as refused:
            portalocker.lock(second, flags)
        assert is_held(refused.value)
        with portalocker.Lock(str(tmp_path / "other"), flags=flags):
            with pytest.raises(LockException) as again:
                portalocker.Lock(str(tmp_path / "other"), flags=flags).acquire(timeout=0, fail_when_locked=True)
            assert is_held(again.value)
