"""Builds the image with buildah, without a Docker engine, and runs it in its root file system.

No registry is used: the base is a Debian made by debootstrap, or the image that IMAGE_BASE names.
The build takes minutes, so only `make image-test` runs it.
"""

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.repository import ROOT

pytestmark = pytest.mark.timeout(3600)
_PROGRAMS = ("buildah", "debootstrap", "unshare", "chroot")
_USER = 10001
_PACKAGES = "python3,python3-venv,ca-certificates"
# The root file system as in a container: read-only except its home and /tmp.
_ENTER = r"""
set -e
mount --bind "$1" "$1"
mount -o remount,ro,bind "$1"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount -t tmpfs tmpfs "$1/tmp"
mount --bind "$2" "$1/var/lib/lcm"
root=$1; shift 2
exec chroot --userspec=10001:10001 "$root" env -i PATH=/opt/lcm/bin:/usr/bin:/bin \
  HOME=/var/lib/lcm LCM_HOME=/var/lib/lcm PYTHONUNBUFFERED=1 \
  sh -c 'cd /var/lib/lcm && exec "$@"' sh "$@"
"""


class Image:
    """The mounted root file system of the image, and the folder of its home."""

    def __init__(self, root: Path, home: Path) -> None:
        self.root = root
        self.home = home

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command as the image's user."""
        return subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "sh", "-c", _ENTER, "sh", self.root,
             self.home, *words],
            capture_output=True, text=True, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"building an image needs root and {', '.join(missing or _PROGRAMS)}")
    folder = tmp_path_factory.mktemp("image")
    tag = f"localhost/lcm_pipeline:test-{uuid.uuid4().hex[:8]}"
    base = os.environ.get("IMAGE_BASE") or _debian(folder, f"{tag}-base")
    # The certificates of this machine, for a package index behind a proxy with its own authority.
    certificates = ["--volume", "/etc/ssl/certs:/etc/ssl/certs:ro"]
    _buildah("bud", "--isolation", "chroot", "--format", "docker", "--build-arg", f"BASE={base}",
             *certificates, "-f", "deploy/Dockerfile", "-t", tag, ".")  # fmt: skip
    container = _buildah("from", tag)
    home = folder / "home"
    home.mkdir()
    os.chown(home, _USER, _USER)
    try:
        yield Image(Path(_buildah("mount", container)), home)
    finally:
        _buildah("rm", container)
        _buildah("rmi", tag, *([] if "IMAGE_BASE" in os.environ else [base]))


def _debian(folder: Path, tag: str) -> str:
    root = folder / "debian"
    subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", root],
        check=True, capture_output=True,
    )  # fmt: skip
    container = _buildah("from", "scratch")
    _buildah("add", "--quiet", container, f"{root}/", "/")
    _buildah("commit", "--quiet", "--rm", container, tag)
    shutil.rmtree(root)
    return tag


def _buildah(*words: str) -> str:
    done = subprocess.run(
        ["buildah", *words], cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-5000:]
    return done.stdout.strip()


def test_the_image_runs_lcm_as_an_unprivileged_user(image: Image) -> None:
    version = image.run("lcm", "--version")
    assert version.stdout.startswith("lcm "), version.stderr
    assert image.run("id", "--user").stdout.strip() == str(_USER)
    assert image.run("touch", "/opt/lcm/x").returncode != 0
    for program in ("pip", "mypy", "pytest"):
        assert not (image.root / "opt/lcm/bin" / program).exists()
    assert not list(image.root.glob("src"))


def test_the_image_runs_the_demo_and_the_report(image: Image) -> None:
    demo = image.run("lcm", "demo", "--clients", "30", "--days", "2")
    assert demo.returncode == 0, demo.stdout + demo.stderr
    home = next((image.home / "demo").iterdir()).relative_to(image.home)
    report = image.run("env", f"LCM_HOME=/var/lib/lcm/{home}", "lcm", "report")
    assert report.returncode == 0, report.stdout + report.stderr


def test_the_health_check_of_the_image_fails_without_a_server(image: Image) -> None:
    check = image.run("lcm", "ui", "--check", "--only", "web")
    assert check.returncode == 1
    assert "does not respond" in check.stderr
