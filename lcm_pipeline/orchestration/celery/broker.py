"""The broker: its address, whether it can be reached, and the configuration of Celery for it."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

from dagster_celery.defaults import broker_transport_options
from dagster_celery.executor import CeleryExecutor
from dagster_celery.make_app import make_app
from kombu.exceptions import OperationalError

from lcm_pipeline.model.errors import UsageError, UserError
from lcm_pipeline.orchestration.storage.instance import CODE_LOCATION
from lcm_pipeline.settings import Settings

# The shortest time that does not mistake a machine under load for a dead one.
LOST_AFTER_SECONDS = 30
_CONNECT_SECONDS = 5.0
# A broker may be away for a day, and be tried every 30 seconds.
_RECONNECTS = 10_000
_LOOPBACK = ("localhost", "::1")


class CeleryUsageError(UsageError):
    """A setting that Celery needs is missing or cannot be used; the message says which."""


class BrokerLostError(UserError):
    """The broker can no longer be reached in the middle of a run."""


def require_broker(settings: Settings) -> None:
    """Raise CeleryUsageError unless the settings suffice and the broker is reachable."""
    require_settings(settings)
    broker = _broker_of(settings)
    connection = build_app(settings).connection_for_write(
        connect_timeout=_CONNECT_SECONDS,
        # A Redis without TLS does not respond to rediss://, as if it were slow.
        transport_options={"socket_timeout": _CONNECT_SECONDS} if _is_redis(broker) else {},
    )
    try:
        with connection:
            connection.ensure_connection(max_retries=1, timeout=_CONNECT_SECONDS)
            if _is_redis(broker):
                # The client of Redis connects with its first command.
                connection.default_channel.client.ping()
    except lost_connection_errors(settings) as error:
        raise CeleryUsageError(
            f"the broker {_shown(broker)} cannot be reached ({reason_of(error)}): start it, or"
            " correct LCM_CELERY_BROKER"
        ) from None


def require_settings(settings: Settings) -> None:
    """Raise CeleryUsageError if workers on other machines could not reach the shared state."""
    host = urlsplit(_broker_of(settings)).hostname or ""
    if host in _LOOPBACK or host.startswith("127."):
        return
    for name, value, fallback in (
        ("LCM_DATABASE_URL", settings.database_url, "the embedded warehouse"),
        ("LCM_DAGSTER_DATABASE_URL", settings.dagster_database_url, "Dagster's own storage"),
    ):
        if value is None:
            raise CeleryUsageError(
                f"{name} is not set: {fallback} would be in LCM_HOME, which workers on other"
                f" machines cannot reach, and the broker is on {host}. Set it to the same Postgres"
                " for the command and all workers (a broker on localhost needs none)"
            )


def shown_broker(settings: Settings) -> str:
    """The address of the broker without its user and password."""
    return _shown(_broker_of(settings))


def build_app(settings: Settings) -> Any:
    """Celery's app, as Dagster's executor builds it. Raises CeleryUsageError."""
    config = executor_config(settings)
    return make_app(CeleryExecutor.for_cli(**config).app_args())


def executor_config(settings: Settings) -> dict[str, Any]:
    """The configuration of Dagster's executor. Raises CeleryUsageError."""
    broker = _broker_of(settings)
    return {
        "broker": broker,
        # RabbitMQ sends results back to the waiting process; Redis stores them.
        "backend": broker if _is_redis(broker) else "rpc://",
        # A worker imports it before it forks, so each process of its pool has it.
        "include": [CODE_LOCATION],
        "config_source": _app_config(broker),
    }


def _app_config(broker: str) -> dict[str, Any]:
    config: dict[str, Any] = {
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": _RECONNECTS,
        # One message per slot: messages that wait are left to other workers.
        "worker_prefetch_multiplier": 1,
        "worker_redirect_stdouts": False,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
    }
    if _is_redis(broker):
        config["broker_transport_options"] = {
            **broker_transport_options,
            "visibility_timeout": LOST_AFTER_SECONDS,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            # A worker that dies while it restores lost messages blocks the others for this long.
            "unacked_mutex_expire": 10,
        }
    return config


def _broker_of(settings: Settings) -> str:
    if settings.celery_broker is None:
        raise CeleryUsageError(
            "LCM_CELERY_BROKER is not set: LCM_EXECUTOR=celery and lcm worker need the address of a"
            " broker, such as LCM_CELERY_BROKER=redis://localhost:6379/0"
        )
    broker = settings.celery_broker.get_secret_value()
    parts = urlsplit(broker)
    if parts.scheme == "rediss" and "ssl_cert_reqs" not in parse_qs(parts.query):
        # Without it Celery checks no certificate, or refuses the address.
        query = "&".join(filter(None, (parts.query, "ssl_cert_reqs=required")))
        return parts._replace(query=query).geturl()
    return broker


def _is_redis(broker: str) -> bool:
    return urlsplit(broker).scheme in ("redis", "rediss")


def lost_connection_errors(settings: Settings) -> tuple[type[Exception], ...]:
    """The errors of a broker that cannot be reached."""
    connection = build_app(settings).connection_for_write()
    # RabbitMQ refuses a password as an error of a channel.
    return (OperationalError, OSError, *connection.connection_errors, *connection.channel_errors)


def reason_of(error: Exception) -> str:
    """The first line of an error, or its class."""
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__


def _shown(broker: str) -> str:
    parts = urlsplit(broker)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
