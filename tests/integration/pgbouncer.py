"""A real PgBouncer in front of the embedded server, run as an ordinary user during a test."""

import os
import selectors
import shutil
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, urlsplit

from tests.ports import free_port, is_listening
from tests.waiting import wait_for

_PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
MISSING = _PROGRAM is None
WHY_MISSING = "no pgbouncer on this machine: apt-get install pgbouncer"
_NOBODY = 65534

_SETTINGS = """\
[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
pool_mode = {mode}
{more}
"""


@contextmanager
def pgbouncer(
    postgres: str, users: Sequence[str], *, mode: str, settings: Sequence[str] = ()
) -> Iterator[int]:
    """Run a PgBouncer that accepts these users without passwords; yields its port."""
    assert _PROGRAM is not None
    with _tcp_to(_socket_of(postgres)) as server, TemporaryDirectory(prefix="lcm-pgb-") as name:
        folder, port = Path(name), free_port()
        folder.chmod(0o755)
        (folder / "users").write_text("".join(f'"{user}" ""\n' for user in users))
        more = "\n".join(settings)
        (folder / "pgbouncer.ini").write_text(
            _SETTINGS.format(server=server, port=port, folder=folder, mode=mode, more=more)
        )
        # PgBouncer refuses to run as root.
        account = _NOBODY if os.geteuid() == 0 else None
        process = subprocess.Popen(
            [_PROGRAM, str(folder / "pgbouncer.ini")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            user=account,
            group=account,
            extra_groups=None if account is None else [],
        )
        try:
            _await_port(process, port)
            yield port
        finally:
            process.kill()
            process.communicate()


def _socket_of(postgres: str) -> str:
    words = parse_qs(urlsplit(postgres).query)
    return f"{words['host'][0]}/.s.PGSQL.{words['port'][0]}"


def _await_port(process: "subprocess.Popen[bytes]", port: int) -> None:
    def listens() -> bool:
        assert process.poll() is None, process.communicate()[1].decode(errors="replace")
        return is_listening(port)

    wait_for(listens)


class _Relay(socketserver.BaseRequestHandler):
    """Forwards one connection to the Unix socket `target` of the server."""

    def handle(self) -> None:
        with socket.socket(socket.AF_UNIX) as server, selectors.DefaultSelector() as selector:
            server.connect(self.server.target)  # type: ignore[attr-defined]
            selector.register(self.request, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, self.request)
            with suppress(OSError):
                while True:
                    for key, _ in selector.select():
                        data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                        if not data:
                            return
                        key.data.sendall(data)


class _Listener(socketserver.ThreadingTCPServer):
    target: str


@contextmanager
def _tcp_to(path: str) -> Iterator[int]:
    """Forward a TCP port to a Unix socket that only this user may open; yields the port."""
    with _Listener(("127.0.0.1", 0), _Relay) as listener:
        listener.target = path
        serving = threading.Thread(target=listener.serve_forever, args=(0.05,))
        serving.start()
        try:
            yield listener.server_address[1]
        finally:
            listener.shutdown()
            serving.join()
