"""Somebody changes HAProxy, its files and the copies by hand, idle and in the middle of a rollout: put right, and told; no client notices."""
import os

from harness import equal, scenario, wait
from puppet import Puppet


def split(service):
    for line in service.admin("show map split.map").splitlines():
        if " split " in line:
            return line.split()[-1]
    raise AssertionError("no line `split` in HAProxy's map: " + service.admin("show map"))


def story(dir, penstock):
    canary = {"canary": {"steps": ["20%"], "hold": {"at_least": "10m", "at_most": "1h"}}}
    service = Puppet(dir, penstock, {"replicas": 2, "strategy": canary})
    daemon = service.daemon
    first = service.first(content=1)
    service.start_load()
    haproxy = os.path.join(daemon.state, "targets/prod/haproxy")

    # Idle.
    right = split(service)
    admin_wrong = "b:0:9" if right.startswith("a") else "a:0:9"
    service.admin("set map split.map split " + admin_wrong)
    wait("the map to be put right", lambda: split(service) == right)
    told = service.repaired(f"said `{admin_wrong}", f"instead of `{right}")
    for name in ("haproxy.cfg", "split.map"):
        os.unlink(os.path.join(haproxy, name))
    wait("the files to be there again", lambda: all(os.path.exists(os.path.join(haproxy, n)) for n in ("haproxy.cfg", "split.map")))
    told = service.repaired("HAProxy's files were changed or removed", after=told)

    # In the middle of a rollout.
    run = service.push_model(content=2)
    rollout = service.until(run, "stepping")
    second = rollout["candidate"]["version"]
    wait("20%", lambda: ":200000:" in split(service))
    right = wait("its being as desired", lambda: service.rollout(run)["actual"]["generation"] == service.rollout(run)["generation"] and split(service))
    service.admin("set map split.map split " + right.replace(":200000:", ":300000:"))
    wait("the share to be put right", lambda: split(service) == right)
    told = service.repaired(":300000:", f"instead of `{right}", after=told)
    one, two = service.copies(second)
    service.admin(f"set server {service.server(one)['name']} state maint")
    told = service.repaired(f"the server of copy i{int(one['id'])} was in another state", after=told)
    wait("the copy to be let in again", lambda: service.server(one)["up"])
    os.unlink(os.path.join(haproxy, "haproxy.cfg"))
    told = service.repaired("HAProxy's files were changed or removed", after=told)
    # A copy is killed: its release has another, and it comes back.
    service.knob(two, "die")
    told = service.repaired(f"copy i{int(two['id'])} had ended", after=told)
    starts = {c["start"] for c in service.copies(second)}
    equal(len(starts - {one["start"], two["start"]}), 1, "copies that were started anew")
    equal(service.rollout(run)["state"], "stepping", "the rollout")
    daemon.penstock("promote", "--full", "prod")
    equal(daemon.wait_run(run)["outcome"], "success", "the run")
    service.replays(rollout["id"])
    service.sent_more(100)
    equal(service.ask().json["release"], second, "who answers")
    equal(set(service.tally()["ok"]), {first, second}, "who has answered")
    # The copy that was told to die may have taken what it had in hand with it.
    service.end_load(lost=2)


scenario(story)
