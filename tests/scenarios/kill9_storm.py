"""kill -9 of the daemon, again and again, in a blue-green with its verification and in a canary that waits for an approval: each comes to
its one end, nothing runs twice, no client notices, and the replay agrees."""
from harness import equal, scenario, wait
from puppet import Puppet

VERIFY = """import json, os, urllib.request
url = os.environ["PENSTOCK_PREVIEW_URL"]
urllib.request.urlopen(url + "/verify", timeout=5)
while not json.load(urllib.request.urlopen(url + "/predict", timeout=5))["knobs"].get("go"):
    pass
"""
ONCE = ("rollout.created", "rollout.verifying", "rollout.promoting", "rollout.promoted", "rollout.awaiting", "rollout.approved")


def once(service, rollout):
    kinds = [e["kind"] for e in service.daemon.events(f"rollout/{rollout['id']}")]
    for kind in ONCE:
        if kinds.count(kind) > 1:
            raise AssertionError(f"{kind} {kinds.count(kind)} times: {kinds}")


def again(daemon):
    daemon.kill9()
    daemon.start()


def ended(service, run, first):
    shown = service.daemon.wait_run(run)
    equal(shown["outcome"], "success", f"the run ({shown['reason']})")
    equal([s["attempts"] for s in shown["stages"] if s["kind"] == "build"], [1], "times the image was built")
    once(service, shown["rollout"])
    equal(service.ask().json["release"], shown["rollout"]["candidate"]["version"], "who answers")
    equal(len(service.copies(shown["rollout"]["candidate"]["version"])), 2, "its copies")
    service.replays(shown["rollout"]["id"])
    return shown["rollout"]["candidate"]["version"]


def story(dir, penstock):
    blue_green = {"blue_green": {"verify": "python3 verify.py", "approve": True}}
    service = Puppet(dir, penstock, {"replicas": 2, "strategy": blue_green, "keep_old": "1s"}, preview=True)
    daemon = service.daemon
    service.write("verify.py", VERIFY)
    first = service.first(content=1)
    service.start_load()
    run = service.push_model(content=2)
    again(daemon)
    rollout = service.until(run, "verifying")
    version = rollout["candidate"]["version"]
    again(daemon)
    copies = lambda: service.copies(version)
    verified = lambda: sum(service.ask(f"127.0.0.1:{c['port']}").json["knobs"].get("verified", 0) for c in copies())
    wait("the verify command", verified)
    again(daemon)
    for copy in copies():
        service.knob(copy, "go")
    again(daemon)
    service.until(run, "awaiting")
    again(daemon)
    equal(service.ask().json["release"], first, "who answers while it waits")
    daemon.penstock("approve", "prod")
    again(daemon)
    second = ended(service, run, first)
    equal(verified(), 1, "times the verify command ran")
    service.until(run, "promoted")

    # A canary, whose approval is given before a kill.
    canary = {"canary": {"steps": [{"weight": "20%", "approve": True}], "hold": {"at_least": "1s", "at_most": "5m"}}}
    analysis = {"min_requests": 20, "metrics": [{"metric": "error_rate", "no_worse_than": "stable", "margin": "20%"}]}
    service.deploy(replicas=2, strategy=canary, analysis=analysis, keep_old="1s")
    run = service.push_model(content=3)
    service.until(run, "stepping", "awaiting")
    again(daemon)
    service.until(run, "awaiting")
    again(daemon)
    daemon.penstock("approve", "prod")
    again(daemon)
    third = ended(service, run, second)
    equal(set(service.tally()["ok"]), {first, second, third}, "who has answered")
    service.end_load()


scenario(story)
