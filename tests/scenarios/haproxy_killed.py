"""HAProxy is killed in the middle of a rollout: it is back at once with the same share, nobody is refused, the rollout goes on."""
import os
import signal

from harness import check, contains, equal, scenario, wait
from puppet import Puppet


def kill_haproxy(service):
    """The workers and their master, by the ids that HAProxy itself tells, and by its folder."""
    folder, killed = os.path.join(service.daemon.state, "targets/prod/haproxy"), []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.path.basename(os.readlink(f"/proc/{pid}/exe")).startswith("haproxy") and os.readlink(f"/proc/{pid}/cwd") == folder:
                os.kill(int(pid), signal.SIGKILL)
                killed.append(int(pid))
        except OSError:
            continue
    check(killed, "HAProxy runs")
    return killed


def story(dir, penstock):
    analysis = {"min_requests": 100, "metrics": [{"metric": "error_rate", "no_worse_than": "stable", "margin": "10%"}]}
    canary = {"canary": {"steps": ["20%", "50%"], "hold": {"at_least": "1s", "at_most": "2m"}}}
    service = Puppet(dir, penstock, {"replicas": 2, "strategy": canary, "analysis": analysis}, rate=200)
    daemon = service.daemon
    first = service.first(content=1)
    service.start_load()
    run = service.push_model(content=2)
    service.until(run, "stepping")
    kill_haproxy(service)
    told = service.repaired("HAProxy was not running")
    service.sent_more(50)
    rollout = service.rollout(run)
    check(rollout["state"] not in ("rolling_back", "rolled_back", "failed"), f"the rollout goes on: {rollout['state']}, {rollout['reason']}")
    shown = daemon.wait_run(run)
    equal(shown["outcome"], "success", f"the run ({shown['reason']})")
    second = daemon.live()
    check(second != first, "the new one is live")
    steps = [e["data"]["step"] for e in daemon.events(f"rollout/{rollout['id']}", "rollout.step")]
    equal(steps, [1, 2], "steps, each once")
    contains(shown["rollout"]["reason"], "error_rate", "the reason")

    # Idle, too.
    kill_haproxy(service)
    service.repaired("HAProxy was not running", after=told)
    service.sent_more(50)
    equal(service.ask().json["release"], second, "who answers")
    equal(sorted({c["version"] for c in service.copies()}), sorted([first, second]), "the old copies are kept")
    service.replays(rollout["id"])
    # Each of the eight connections may have had one request in hand at each of the two crashes. Nobody was refused.
    service.end_load(lost=16)


scenario(story)
