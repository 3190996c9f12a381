"""A server that imitates unsuitable Postgres servers: too old, in another encoding, refusing.

It implements the start-up of a session and `select pg_backend_pid()`: nothing else is checked
before a warehouse is accepted.
"""

import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

BACKEND = 4242


def greeting(version: str = "18.1", encoding: str = "UTF8", *, standby: str = "off") -> bytes:
    """The messages that accept a client and report the parameters of the server."""
    shown = {
        "server_version": version,
        "server_encoding": encoding,
        "client_encoding": "UTF8",
        "in_hot_standby": standby,
    }
    statuses = [_message(b"S", _text(name) + _text(value)) for name, value in shown.items()]
    key = _message(b"K", struct.pack("!ii", BACKEND, 1))
    return b"".join([_message(b"R", struct.pack("!i", 0)), *statuses, key, _message(b"Z", b"I")])


def refusal(sqlstate: str, words: str, severity: str = "FATAL") -> bytes:
    """The message with which Postgres refuses a client; severity: in the server's language."""
    fields = {b"S": severity, b"V": "FATAL", b"C": sqlstate, b"M": words}
    body = b"".join(key + _text(value) for key, value in fields.items())
    return _message(b"E", body + b"\0")


@contextmanager
def scripted_postgres(responses: Sequence[bytes]) -> Iterator[int]:
    """Serve these responses in turn, then repeat the last one; yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        arguments = (listener, list(responses))
        serving = threading.Thread(target=_serve, args=arguments, daemon=True)
        serving.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        serving.join()


def _serve(listener: socket.socket, responses: list[bytes]) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with client:
            _read_startup(client)
            client.sendall(responses.pop(0) if len(responses) > 1 else responses[0])
            while client.recv(1024):
                client.sendall(_backend())


def _read_startup(client: socket.socket) -> None:
    """Decline encryption and skip the start-up message."""
    while True:
        length, code = struct.unpack("!ii", client.recv(8, socket.MSG_WAITALL))
        client.recv(length - 8, socket.MSG_WAITALL)
        if code >> 16 == 3:
            return
        client.sendall(b"N")


def _backend() -> bytes:
    """The response to `select pg_backend_pid()`: one row with one number, as text."""
    number = str(BACKEND).encode()
    column = _text("pg_backend_pid") + struct.pack("!ihihih", 0, 0, 23, 4, -1, 0)
    row = struct.pack("!hi", 1, len(number)) + number
    return b"".join([
        _message(b"T", struct.pack("!h", 1) + column),
        _message(b"D", row),
        _message(b"C", _text("SELECT 1")),
        _message(b"Z", b"I"),
    ])  # fmt: skip


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def _text(value: str) -> bytes:
    return value.encode() + b"\0"
