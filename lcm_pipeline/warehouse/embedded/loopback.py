"""Serves the embedded server on a loopback TCP port, for programs that know no Unix sockets.

The server listens on a socket that only its owner can reach, and trusts every connection to it. So
this proxy relays connections of one login only, and a line at the head of pg_hba.conf makes the
server request the password of that login.
"""

import asyncio
import os
import struct
from collections.abc import Callable
from contextlib import suppress

from lcm_pipeline.files import replacing
from lcm_pipeline.warehouse.embedded.folder import ServerFolder

_SSL_REQUEST, _GSS_REQUEST, _CANCEL_REQUEST = 80877103, 80877104, 80877102
_LONGEST_STARTUP = 10_000
_STARTUP_SECONDS = 30.0
_CHUNK = 65_536


def require_password_of(folder: ServerFolder, login: str) -> bool:
    """Make the server request the password of the login.

    Returns whether the server has to reload its configuration. Raises OSError.
    """
    path = folder.data_folder / "pg_hba.conf"
    line = f"local all {login} scram-sha-256\n"
    text = path.read_text("utf-8")
    if line in text:
        return False
    owner = path.stat()
    with replacing(path, 0o600) as file:
        # The first matching line counts, and the lines below trust every login.
        file.write((line + text).encode())
        os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
    return True


async def serve_login(
    socket_path: str, *, login: str, port: int, on_ready: Callable[[int], None]
) -> None:
    """Relay connections of one login from a loopback port until cancelled. Raises OSError.

    port: 0 picks a free one. on_ready: called with the port once it accepts connections.
    """

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # An error of a client or the server ends this connection only.
        with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            await _relay(reader, writer, socket_path, login)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", port)
    async with server:
        on_ready(server.sockets[0].getsockname()[1])
        await server.serve_forever()


async def _relay(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, socket_path: str, login: str
) -> None:
    packet, code = await asyncio.wait_for(_read_startup(reader, writer), _STARTUP_SECONDS)
    fields = packet[8:].split(b"\0")
    user = dict(zip(fields[::2], fields[1::2], strict=False)).get(b"user", b"")
    if code != _CANCEL_REQUEST and user.decode("utf-8", "replace") != login:
        reason = f"this port is for the login {login} alone: see lcm serve"
        error = f"SFATAL\0VFATAL\0C28000\0M{reason}\0\0".encode()
        writer.write(b"E" + struct.pack("!I", len(error) + 4) + error)
        await writer.drain()
        return
    server_reader, server_writer = await asyncio.open_unix_connection(socket_path)
    try:
        server_writer.write(packet)
        both = [_copy(reader, server_writer), _copy(server_reader, writer)]
        tasks = [asyncio.ensure_future(copying) for copying in both]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
    finally:
        server_writer.close()


async def _read_startup(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> tuple[bytes, int]:
    """Read the startup packet and its code. Encryption is declined: loopback needs none."""
    while True:
        head = await reader.readexactly(8)
        length, code = struct.unpack("!II", head)
        if not 8 <= length <= _LONGEST_STARTUP:
            raise ConnectionAbortedError("not a startup packet of Postgres")
        packet = head + await reader.readexactly(length - 8)
        if code not in (_SSL_REQUEST, _GSS_REQUEST):
            return packet, code
        writer.write(b"N")
        await writer.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
