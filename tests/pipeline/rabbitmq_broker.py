"""A real RabbitMQ on a free port of loopback, where one is installed."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.ports import free_port, is_listening
from tests.waiting import PATIENCE, wait_for

# Not the wrapper that packages put on the PATH, which changes the user and the folder.
_PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
MISSING = not (_PROGRAM.exists() and shutil.which("erl") and shutil.which("epmd"))
WHY_MISSING = "no rabbitmq-server on this machine: apt-get install rabbitmq-server"


@contextmanager
def rabbitmq_broker() -> Iterator[str]:
    """Run a RabbitMQ with its user `guest` for the context; yields its address."""
    port, distribution, names = free_port(), free_port(), free_port()
    with TemporaryDirectory(prefix="lcm-rabbitmq-") as folder:
        variables = {
            **os.environ,
            "HOME": folder,
            # A separate port mapper of Erlang, because it outlives the process that starts it.
            "ERL_EPMD_PORT": str(names),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": "lcm@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_CONFIG_FILE": f"{folder}/none",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
        }
        with (Path(folder) / "output").open("wb") as output:
            process = subprocess.Popen(
                [_PROGRAM], env=variables, cwd=folder, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip

        def log_text() -> str:
            return (Path(folder) / "output").read_text(errors="replace")[-2_000:]

        try:
            wait_for(lambda: process.poll() is not None or is_listening(port), log_text)
            assert process.poll() is None, log_text()
            yield f"amqp://guest:guest@127.0.0.1:{port}//"
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            subprocess.run(["epmd", "-kill"], env=variables, capture_output=True, check=False)
