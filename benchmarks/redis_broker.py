"""A real Redis on a free loopback port, for a benchmark or a test."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

_PROGRAM = shutil.which("redis-server")
MISSING = _PROGRAM is None
WHY_MISSING = "no redis-server on this machine: apt-get install redis-server"


@contextmanager
def redis_broker(certificate: Path | None = None) -> Iterator[str]:
    """Run a Redis without persistence; yields its URL.

    certificate: PEM file with a certificate and its key; with it, Redis accepts only TLS.
    """
    assert _PROGRAM is not None
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    with TemporaryDirectory(prefix="lcm-redis-") as folder:
        options = ["--port", str(port)]
        if certificate is not None:
            options = ["--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no"]
            options += ["--tls-cert-file", str(certificate), "--tls-key-file", str(certificate)]
            options += ["--tls-ca-cert-file", str(certificate)]
        options += ["--bind", "127.0.0.1", "--save", "", "--dir", folder]
        process = subprocess.Popen([_PROGRAM, *options], stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 60
            while True:
                with socket.socket() as client:
                    if client.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert process.poll() is None, "redis-server ended"
                assert time.monotonic() < deadline, "redis-server does not listen"
                time.sleep(0.05)
            scheme = "redis" if certificate is None else "rediss"
            yield f"{scheme}://127.0.0.1:{port}/0"
        finally:
            process.kill()
            process.wait()
