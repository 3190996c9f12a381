"""The ways to strike a victim: signals to processes of its server, and lost sessions.

Every process that is hit belongs to the embedded server of the scene, or is the victim itself.
"""

import os
import signal
from pathlib import Path
from typing import Any

import psycopg

from tests.integration.embedded_users import kill_processes, server_processes

PROCESS = "process"
SESSION = "session"
BACKEND = "backend"
SERVER = "server"
BOTH = "process and server"
INTERRUPT = "interrupt"

WEAPONS = (PROCESS, SESSION, BACKEND, SERVER, BOTH, INTERRUPT)
# After these the server recovers from a crash, and unlogged tables are empty.
CRASHING = frozenset((BACKEND, SERVER, BOTH))
FATAL = frozenset((PROCESS, BOTH))


def strike(weapon: str, home: Path, session: psycopg.Connection[Any] | None) -> None:
    """Strike now; returns only if the weapon does not kill the calling process."""
    if weapon == SESSION and session is not None:
        lose_session(session)
    if weapon == BACKEND and session is not None:
        # Process ids are reused: kill it only if it still is a process of this server.
        kill_processes([pid for pid in server_processes(home) if pid == _backend_of(session)])
    if weapon in (SERVER, BOTH):
        kill_processes(server_processes(home))
    if weapon == INTERRUPT:
        os.kill(os.getpid(), signal.SIGINT)
    if weapon in FATAL:
        os.kill(os.getpid(), signal.SIGKILL)


def _backend_of(session: psycopg.Connection[Any]) -> int:
    return 0 if session.closed else session.info.backend_pid


def lose_session(session: psycopg.Connection[Any]) -> None:
    """Terminate a session on the server."""
    with psycopg.connect(session.info.dsn, autocommit=True) as other:
        other.execute("select pg_terminate_backend(%s, 5000)", (session.info.backend_pid,))
