"""The Docker daemon of this machine, for tests that use it where there is one."""

import socket

import docker
from docker.errors import DockerException, ImageNotFound
from docker.utils import kwargs_from_env

DEFAULT_ADDRESS = "unix:///var/run/docker.sock"
ANSWERS_WITHIN_S = 60  # also to what takes a busy one long


def connected() -> docker.DockerClient | None:
    """Return a client of the daemon, to be closed; None, and at once, where nobody listens."""
    address = kwargs_from_env().get("base_url", DEFAULT_ADDRESS)
    if address.startswith("unix:") and not _listens(address.removeprefix("unix:").replace("//", "/")):
        return None  # a client would leak its socket
    try:
        return docker.from_env(timeout=ANSWERS_WITHIN_S)
    except DockerException:
        return None


def lacking(*images: str) -> str:
    """Say which of ``images`` is not on this machine, or that no daemon is; "" if all are."""
    client = connected()
    if client is None:
        return "no Docker daemon answers"
    try:
        for image in images:
            client.images.get(image)
    except ImageNotFound:
        return f"there is no image {image}"
    except DockerException as error:
        return f"the Docker daemon does not say which images it has: {error}"
    finally:
        client.close()
    return ""


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0
