"""A server that greets like some other Postgres: too old, in another encoding, refusing.

It speaks the greeting and tells which process serves the session: that is all that is looked at
before a warehouse is accepted.
"""

import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

BACKEND = 4242


def greeting(version: str = "18.1", encoding: str = "UTF8", *, standby: str = "off") -> bytes:
    """Let the client in and tell it what kind of server this is."""
    shown = {
        "server_version": version,
        "server_encoding": encoding,
        "client_encoding": "UTF8",
        "in_hot_standby": standby,
    }
    statuses = [_message(b"S", _text(name) + _text(value)) for name, value in shown.items()]
    key = _message(b"K", struct.pack("!ii", BACKEND, 1))
    return b"".join([_message(b"R", struct.pack("!i", 0)), *statuses, key, _message(b"Z", b"I")])


def refusal(sqlstate: str, words: str) -> bytes:
    """Turn the client away as Postgres does."""
    fields = {b"S": "FATAL", b"V": "FATAL", b"C": sqlstate, b"M": words}
    body = b"".join(key + _text(value) for key, value in fields.items())
    return _message(b"E", body + b"\0")


@contextmanager
def scripted_postgres(answers: Sequence[bytes]) -> Iterator[int]:
    """The port of a server that gives these returns one after the other, then the last one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        words = (listener, list(answers))
        serving = threading.Thread(target=_serve, args=words, daemon=True)
        serving.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        serving.join()


def _serve(listener: socket.socket, answers: list[bytes]) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with client:
            _read_startup(client)
            client.sendall(answers.pop(0) if len(answers) > 1 else answers[0])
            while client.recv(1024):
                client.sendall(_backend())


def _read_startup(client: socket.socket) -> None:
    """Encryption is declined; the start-up message itself is of no interest."""
    while True:
        length, code = struct.unpack("!ii", client.recv(8, socket.MSG_WAITALL))
        client.recv(length - 8, socket.MSG_WAITALL)
        if code >> 16 == 3:
            return
        client.sendall(b"N")


def _backend() -> bytes:
    """The answer to `select pg_backend_pid()`: one row of one number, as text."""
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
