"""The embedded server on a TCP port of this machine, for programs that know no Unix sockets.

The server itself listens on a socket that only its owner reaches, and trusts whoever does. So the
port is ours: connections are passed on for one login alone, and the server asks that one for its
password, by a line that is put at the head of pg_hba.conf.
"""

import asyncio
import os
import struct
from collections.abc import Callable
from contextlib import suppress

from lcm_pipeline.warehouse.embedded.folder import ServerFolder

_SSL_REQUEST, _GSS_REQUEST, _CANCEL_REQUEST = 80877103, 80877104, 80877102
_LONGEST_STARTUP = 10_000
_STARTUP_SECONDS = 30.0
_CHUNK = 65_536


def require_password_of(folder: ServerFolder, login: str) -> bool:
    """Let the server ask the login for its password; returns whether it has to be reloaded."""
    path = folder.data_folder / "pg_hba.conf"
    line = f"local all {login} scram-sha-256\n"
    text = path.read_text("utf-8")
    if line in text:
        return False
    owner = path.stat()
    draft = path.with_name(f".pg_hba.conf.{os.getpid()}")
    draft.touch(mode=0o600)
    # The first line that fits counts, and those below trust everybody.
    draft.write_text(line + text, "utf-8")
    os.chown(draft, owner.st_uid, owner.st_gid)
    draft.replace(path)
    return True


async def serve_login(
    socket_path: str, *, login: str, port: int, on_ready: Callable[[int], None]
) -> None:
    """Pass connections of one login on, from a loopback port, until cancelled; raises OSError.

    port: 0 takes a free one. on_ready: called with the port, once it takes connections.
    """

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # What a client or the server breaks off ends this connection, and no other.
        with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            await _pass_on(reader, writer, socket_path, login)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", port)
    async with server:
        on_ready(server.sockets[0].getsockname()[1])
        await server.serve_forever()


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, socket_path: str, login: str
) -> None:
    packet, code = await asyncio.wait_for(_read_startup(reader, writer), _STARTUP_SECONDS)
    if code != _CANCEL_REQUEST and _user_of(packet) != login:
        writer.write(_refusal(login))
        await writer.drain()
        return
    server_reader, server_writer = await asyncio.open_unix_connection(socket_path)
    try:
        server_writer.write(packet)
        both = [_copy(reader, server_writer), _copy(server_reader, writer)]
        tasks = [asyncio.ensure_future(one) for one in both]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
    finally:
        server_writer.close()


async def _read_startup(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> tuple[bytes, int]:
    """The packet that a connection begins with; encryption is declined, as nothing leaves here."""
    while True:
        head = await reader.readexactly(8)
        length, code = struct.unpack("!II", head)
        if not 8 <= length <= _LONGEST_STARTUP:
            raise ConnectionAbortedError("no packet of Postgres")
        packet = head + await reader.readexactly(length - 8)
        if code not in (_SSL_REQUEST, _GSS_REQUEST):
            return packet, code
        writer.write(b"N")
        await writer.drain()


def _user_of(packet: bytes) -> str:
    fields = packet[8:].split(b"\0")
    pairs = dict(zip(fields[::2], fields[1::2], strict=False))
    return pairs.get(b"user", b"").decode("utf-8", "replace")


def _refusal(login: str) -> bytes:
    fields = (
        f"SFATAL\0VFATAL\0C28000\0Mthis port is for the login {login} alone: see lcm serve\0\0"
    ).encode()
    return b"E" + struct.pack("!I", len(fields) + 4) + fields


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
