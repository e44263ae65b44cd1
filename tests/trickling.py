"""A way to a server that gets slow: its answers come byte by byte, or not at all, whatever the transport."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, suppress
from typing import Final, Literal, Self

Pace = Literal["usual", "trickling", "stopped"]

_SECONDS: Final = 0.1
"""Between two bytes: the shortest answer takes a quarter of a minute."""


class SlowWay:
    """Hands the bytes of each connection on to `port`, and its answers back at the present `pace`."""

    def __init__(self, port: int) -> None:
        self.pace: Pace = "usual"
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: Final[int] = self._listening.getsockname()[1]
        self._over = threading.Event()
        self._open = ExitStack()
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:  # closed
                return
            far = socket.create_connection(("127.0.0.1", self._to))
            for each in (near, far):
                self._open.callback(_hang_up, each)
            threading.Thread(target=self._hand_on, args=(near, far), daemon=True).start()
            threading.Thread(target=self._answer, args=(far, near), daemon=True).start()

    def _hand_on(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while data := near.recv(2**16):
                far.sendall(data)
        _hang_up(far)

    def _answer(self, far: socket.socket, near: socket.socket) -> None:
        with suppress(OSError):
            while data := far.recv(2**16):
                while data and self.pace != "usual" and not self._over.wait(_SECONDS):
                    if self.pace == "trickling":
                        near.sendall(data[:1])
                        data = data[1:]
                near.sendall(data)
        _hang_up(near)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        _hang_up(self._listening)
        self._accepting.join()
        self._open.close()


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
