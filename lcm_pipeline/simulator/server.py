"""The simulator as a real HTTP server: in the foreground, or in a thread of a test or the demo."""

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import cast
from urllib.parse import urljoin

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from lcm_pipeline.simulator import control
from lcm_pipeline.simulator.app import SimulatorApp, Transports
from lcm_pipeline.simulator.configuration import SimulatorConfig
from lcm_pipeline.simulator.service import Service, build_service
from lcm_pipeline.simulator.world import World

_START_SECONDS = 30


def _tracking_protocol(transports: Transports) -> type[asyncio.Protocol]:
    """The server's HTTP protocol, with its open connections in `transports` by their peers."""

    class TrackingProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
        def connection_made(self, transport: asyncio.Transport) -> None:
            self._peer = tuple(transport.get_extra_info("peername") or ())[:2]
            transports[self._peer] = transport
            super().connection_made(transport)

        def connection_lost(self, error: Exception | None) -> None:
            transports.pop(self._peer, None)
            super().connection_lost(error)

    return cast(type[asyncio.Protocol], TrackingProtocol)


class _Server(uvicorn.Server):
    """A server that reports when it listens."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening()


def _server_of(service: Service, listening: Callable[[], None]) -> _Server:
    transports: Transports = {}
    config = uvicorn.Config(
        SimulatorApp(service, transports),
        http=_tracking_protocol(transports),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=1,
        backlog=2048,
    )
    return _Server(config, listening)


def _listening_socket(config: SimulatorConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
    except OSError:
        listener.close()
        raise
    return listener


def _url(config: SimulatorConfig, listener: socket.socket) -> str:
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"http://{host}:{listener.getsockname()[1]}{config.path}"


def serve(config: SimulatorConfig, announce: Callable[[str], None]) -> None:
    """Serve in the foreground until SIGINT or SIGTERM; announces the address once it listens.

    uvicorn raises the signal again when it is done: `lcm` handles both as Ctrl-C.
    """
    listener = _listening_socket(config)
    url = _url(config, listener)
    try:
        server = _server_of(build_service(config), lambda: announce(url))
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        return
    finally:
        listener.close()


class RunningSimulator:
    """A simulator that serves from a thread of this process. Stop it, or use it in a `with`.

    It listens as soon as it is created.
    """

    def __init__(self, config: SimulatorConfig) -> None:
        self._listener = _listening_socket(config)
        self.url = _url(config, self._listener)
        self.service = build_service(config)
        listening = threading.Event()
        self._server = _server_of(self.service, listening.set)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._listener],), name="simulator", daemon=True
        )
        self._thread.start()
        if not listening.wait(_START_SECONDS):
            self.stop()
            raise TimeoutError(f"the simulator did not listen within {_START_SECONDS} s")

    @property
    def world(self) -> World:
        """The world that is served; its public methods are safe to call from any thread."""
        return self.service.world

    @property
    def control_url(self) -> str:
        """Where the control API is: the host's root, whatever the prefix."""
        return urljoin(self.url, control.PATH)

    def stop(self) -> None:
        """Close the server and wait for its thread; calls that hang are cut."""
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()

    def __enter__(self) -> "RunningSimulator":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
