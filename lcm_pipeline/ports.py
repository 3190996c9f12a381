"""TCP ports of this machine: addresses of servers, whether one can listen, and who does."""

import socket
from contextlib import suppress
from pathlib import Path

_LISTENING = "0A"


def url_host(host: str) -> str:
    """A host as an address or a Host header has it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def listen_error(host: str, port: int) -> OSError | None:
    """Why no server can listen on a port of an address; None if one can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # Raises too: a kernel may have no IPv6.
        with socket.socket(family) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
    except OSError as error:
        return error
    return None


def holder_of(port: int) -> str | None:
    """The process that listens on a TCP port, as `NAME (pid N)`; None if unknown."""
    sockets = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        with suppress(OSError):
            for line in table.read_text("ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    sockets.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*") if sockets else ():
        with suppress(OSError):
            if any(str(link.readlink()) in sockets for link in (process / "fd").iterdir()):
                name = (process / "comm").read_text("utf-8", "replace").strip()
                return f"{name} (pid {process.name})"
    return None
