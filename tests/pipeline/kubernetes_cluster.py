"""A stand-in for a cluster: the calls of Kubernetes' API that Dagster makes, and pods as processes.

A pod is a process with the environment that its container declares, and nothing else but the
program search path: what an image would contain. Images, volumes, limits and security contexts are
recorded, not applied, and a Secret is given by the test. That a real cluster accepts the same, no
test here proves.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import yaml

from tests.waiting import PATIENCE

Document = dict[str, Any]
_STARTED_AT = "2026-03-01T00:00:00Z"
_PATH = re.compile(
    r"/(?:api/v1|apis/batch/v1)/namespaces/[^/]+/(?P<kind>jobs|pods|events)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<part>status|log))?"
)


@dataclass
class Job:
    """A Job and its only pod, which has the same name. document: as it was posted."""

    document: Document
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def name(self) -> str:
        return str(self.document["metadata"]["name"])

    @property
    def labels(self) -> dict[str, str]:
        labels: dict[str, str] = self.document["metadata"]["labels"]
        return labels

    @property
    def pod_spec(self) -> Document:
        spec: Document = self.document["spec"]["template"]["spec"]
        return spec

    @property
    def container(self) -> Document:
        (container,) = self.pod_spec["containers"]
        return dict(container)

    @property
    def step(self) -> str | None:
        """The key of the step that its pod executes; None for the pod of a run."""
        variables = {one["name"]: one.get("value") for one in self.container["env"]}
        return variables.get("DAGSTER_RUN_STEP_KEY")

    def as_document(self) -> Document:
        code = self.process.poll()
        counts = {"active": 1} if code is None else {"failed" if code else "succeeded": 1}
        return {**self.document, "status": {"startTime": _STARTED_AT, **counts}}

    def pod_as_document(self) -> Document:
        code = self.process.poll()
        state: Document = {"running": {"startedAt": _STARTED_AT}}
        if code is not None:
            reason = "Error" if code else "Completed"
            state = {"terminated": {"exitCode": abs(code), "reason": reason}}
        status = {
            "name": self.container["name"],
            "image": self.container["image"],
            "imageID": "",
            "ready": code is None,
            "restartCount": 0,
            "state": state,
        }
        phase = "Running" if code is None else "Failed" if code else "Succeeded"
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.name, "labels": {**self.labels, "job-name": self.name}},
            "spec": self.pod_spec,
            "status": {"phase": phase, "containerStatuses": [status]},
        }

    def kill(self) -> None:
        """End the pod as a node that is lost ends it."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)


@dataclass
class Cluster:
    """What the API knows. secrets: the values of each Secret, by name."""

    folder: Path
    secrets: Mapping[str, Mapping[str, str]]
    jobs: dict[str, Job] = field(default_factory=dict)
    deleted: list[Job] = field(default_factory=list)
    url: str = ""

    @property
    def kubeconfig(self) -> Path:
        """The file with which a client finds this cluster."""
        path = self.folder / "kubeconfig"
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "here", "cluster": {"server": self.url}}],
                    "users": [{"name": "test", "user": {}}],
                    "contexts": [{"name": "test", "context": {"cluster": "here", "user": "test"}}],
                    "current-context": "test",
                }
            ),
            encoding="utf-8",
        )
        return path

    @property
    def all_jobs(self) -> list[Job]:
        return [*self.deleted, *self.jobs.values()]

    def create(self, document: Document) -> Document:
        name = document["metadata"]["name"]
        (container,) = document["spec"]["template"]["spec"]["containers"]
        log = self.folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                container["args"],
                env=self._variables(container),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.jobs[name] = Job(document, process, log)
        return self.jobs[name].as_document()

    def delete(self, name: str) -> None:
        """Ask the process of a pod to end, as Kubernetes does, and forget its Job."""
        job = self.jobs.pop(name)
        job.process.terminate()
        self.deleted.append(job)

    def close(self) -> None:
        for job in self.all_jobs:
            if job.process.poll() is None:
                job.kill()

    def _variables(self, container: Document) -> dict[str, str]:
        # Those of an image; PYTHONPATH, if set, selects the checkout whose code is tested.
        path = os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"])
        given = {"PATH": path, "KUBERNETES_SERVICE_HOST": "127.0.0.1"}
        if checkout := os.environ.get("PYTHONPATH"):
            given["PYTHONPATH"] = checkout
        for source in container.get("envFrom") or ():
            given |= self.secrets[source["secretRef"]["name"]]
        for variable in container.get("env") or ():
            reference = variable.get("valueFrom")
            if reference:
                key = reference["secretKeyRef"]
                given[variable["name"]] = self.secrets[key["name"]][key["key"]]
            else:
                given[variable["name"]] = variable.get("value") or ""
        return given


@contextmanager
def kubernetes_cluster(folder: Path, secrets: Mapping[str, Mapping[str, str]]) -> Iterator[Cluster]:
    """Serve the API for the context; afterwards no pod is left. folder: for logs of pods."""
    cluster = Cluster(folder, secrets)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with lock:
                self._respond(*_get(cluster, self.path))

        def do_POST(self) -> None:
            given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                self._respond(201, cluster.create(given))

        def do_DELETE(self) -> None:
            # The client sends options, which say nothing of interest here.
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found = _PATH.fullmatch(urlsplit(self.path).path)
            with lock:
                if found and found["kind"] == "jobs" and found["name"] in cluster.jobs:
                    cluster.delete(found["name"])
            # Its pod is gone with it.
            self._respond(200, {"kind": "Status", "status": "Success"})

        def log_message(self, *_: object) -> None:
            """Keep the output of the tests free of requests."""

        def _respond(self, status: int, body: Document | str) -> None:
            content = body if isinstance(body, str) else json.dumps(body)
            self.send_response(status)
            kind = "text/plain" if isinstance(body, str) else "application/json"
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(content.encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    cluster.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield cluster
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        cluster.close()


def _get(cluster: Cluster, address: str) -> tuple[int, Document | str]:
    parts = urlsplit(address)
    found = _PATH.fullmatch(parts.path)
    if not found:
        return _not_found(parts.path)
    kind, name = found["kind"], found["name"]
    if kind == "events":
        return 200, {"apiVersion": "v1", "kind": "EventList", "items": []}
    if name and name not in cluster.jobs:
        return _not_found(name)
    if name and found["part"] == "log":
        return 200, cluster.jobs[name].log.read_text("utf-8", errors="replace")
    if name:
        job = cluster.jobs[name]
        return 200, job.as_document() if kind == "jobs" else job.pod_as_document()
    # `job-name=X` or `metadata.name=X`: a Job and its pod have the same name.
    selectors = [value for key, value in parse_qsl(parts.query) if key.endswith("Selector")]
    names = {selector.partition("=")[2] for selector in selectors}
    items = [
        job.as_document() if kind == "jobs" else job.pod_as_document()
        for job in cluster.jobs.values()
        if not names or job.name in names
    ]
    list_kind = "JobList" if kind == "jobs" else "PodList"
    return 200, {"apiVersion": "v1", "kind": list_kind, "items": items}


def _not_found(what: str) -> tuple[int, Document]:
    return 404, {"kind": "Status", "status": "Failure", "reason": "NotFound", "message": what}
