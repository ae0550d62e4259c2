"""Scenes on containment: how Docker really runs the containers."""

from engine import run
from registry import scene
from stack import OFFLINE, PROJECT_LABEL

# The official image of etcd has no other user, and no data directory that another user could write to.
OFFICIALLY_ROOT = {"etcd"}


@scene("config")
def config(stack):
    """Both Compose files are valid."""
    for offline in (False, True):
        stack.compose("config", "-q", offline=offline)
    return f"compose config accepts docker-compose.yml, alone and with {OFFLINE}"


def faults(container):
    """Yields what is wrong with how a container runs."""
    host, user = container["HostConfig"], container["Config"]["User"]
    if user.partition(":")[0] in ("", "0", "root"):
        yield "runs as root"
    if not host["ReadonlyRootfs"]:
        yield "can write to its own files"
    if "ALL" not in (host["CapDrop"] or []) or host["CapAdd"] or host["Privileged"]:
        yield "has capabilities"
    if not any(option.startswith("no-new-privileges") for option in host["SecurityOpt"] or []):
        yield "may gain privileges"
    if not host["Memory"] or not host["PidsLimit"]:
        yield "has no limit of memory or processes"
    published = {f"{to['HostIp']}:{to['HostPort']}" for ports in (container["NetworkSettings"]["Ports"] or {}).values()
                 for to in ports or ()}
    yield from (f"is published on {address}" for address in sorted(published))


@scene("contained")
def contained(stack):
    """No container runs as root or writes to its image. Only HAProxy can be reached from outside."""
    inspected, root = stack.inspect(*stack.containers()), []
    for container in inspected:
        service = container["Config"]["Labels"]["com.docker.compose.service"]
        wrong = set(faults(container))
        if service == "haproxy":
            wrong ^= {f"is published on 127.0.0.1:{stack.port}"}
        if service in OFFICIALLY_ROOT and not stack.offline:
            root += [service] if "runs as root" in wrong else []
            wrong.discard("runs as root")
        if wrong:
            raise AssertionError(f"{service}: {', '.join(sorted(wrong))}")
    networks = stack.inspect(*run("docker", "network", "ls", "--quiet", "--filter",
                                  f"label={PROJECT_LABEL}={stack.project}").stdout.split())
    shut = {network["Labels"]["com.docker.compose.network"] for network in networks if network["Internal"]}
    if not {"back", "watch"} <= shut:
        raise AssertionError(f"expected back and watch among the internal networks, which are {shut}")
    return (f"{len(inspected)} containers: {' and '.join(root) or 'none'} runs as root, none writes to its image, none has a capability;"
            f" the only port is HAProxy's, on loopback")
