"""Checks what the executor and the alerts need, for `lcm doctor`; changes nothing."""

from collections.abc import Iterator

from lcm_pipeline.doctor.findings import Finding, State
from lcm_pipeline.model.errors import UsageError, UserError
from lcm_pipeline.model.extras import MissingExtraError
from lcm_pipeline.orchestration.alerts import malformed_addresses
from lcm_pipeline.orchestration.executors import celery_package, executor_of, is_in_pod
from lcm_pipeline.settings import Settings


def examine_executor(settings: Settings) -> Iterator[Finding]:
    """Check the broker and workers of Celery, or the Kubernetes cluster.

    A check never raises, and no finding contains a secret.
    """
    if settings.executor == "celery":
        yield from _check_celery(settings)
    if settings.executor == "k8s":
        try:
            executor_of(settings)
        except MissingExtraError as error:
            yield Finding("cluster", State.FAIL, str(error), "install it")
            return
        if is_in_pod():
            yield Finding("cluster", State.OK, "this process runs in a pod")
        else:
            found = "LCM_EXECUTOR=k8s runs each step in a pod, and this process is not in one"
            yield Finding("cluster", State.WARN, found, "run lcm doctor in a pod of the image")


def examine_alerts(settings: Settings) -> Iterator[Finding]:
    """Check the addresses of LCM_ALERT_URLS; nothing is sent to them."""
    count = len(settings.alert_addresses())
    malformed = malformed_addresses(settings)
    if malformed:
        named = ", ".join(f"address {number}" for number in malformed)
        yield Finding(
            "alerts", State.FAIL,
            f"LCM_ALERT_URLS: apprise does not understand {named}",
            "correct them; https://github.com/caronc/apprise/wiki has the form of each service",
        )  # fmt: skip
    elif count:
        yield Finding("alerts", State.OK, f"addresses: {count}")


def _check_celery(settings: Settings) -> Iterator[Finding]:
    if settings.celery_broker is None:
        advice = "set it to the address of a broker, such as redis://localhost:6379/0"
        yield Finding("broker", State.FAIL, "LCM_CELERY_BROKER is not set", advice)
        return
    try:
        celery = celery_package()
        celery.require_broker(settings)
    except UsageError as error:
        yield Finding("broker", State.FAIL, str(error), "correct that, then run lcm doctor again")
        return
    yield Finding("broker", State.OK, f"{celery.shown_broker(settings)} can be reached")
    try:
        workers = celery.responding_workers(settings)
    except UserError as error:
        # Another check reports the warehouse.
        yield Finding("workers", State.WARN, f"not checked: {error}")
        return
    if not workers:
        advice = "start one on each machine: lcm worker"
        yield Finding("workers", State.WARN, celery.NO_WORKER, advice)
        return
    different = {worker.name: celery.differing_settings(settings, worker) for worker in workers}
    others = [f"{name} has {difference}" for name, difference in different.items() if difference]
    if others:
        yield Finding(
            "workers", State.FAIL, "; ".join(others),
            "give all the same, and start these workers again",
        )  # fmt: skip
    else:
        names = ", ".join(worker.name for worker in workers)
        yield Finding("workers", State.OK, f"responding: {len(workers)} ({names})")
