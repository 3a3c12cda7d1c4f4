"""Blue-green: verified on the preview address while live traffic stays, approved, all traffic at once, and back at once within keep_old."""
from harness import check, contains, equal, scenario, wait
from puppet import Puppet

CHECK = """import json, os, sys, urllib.request
url = os.environ["PENSTOCK_PREVIEW_URL"]
said = json.load(urllib.request.urlopen(url + "/verify", timeout=5))
print("on", url, "is", said["release"], "of", os.environ["PENSTOCK_TARGET"], os.environ["PENSTOCK_IMAGE"][:7], flush=True)
while not json.load(urllib.request.urlopen(url + "/predict", timeout=5))["knobs"].get("go"):
    pass
sys.exit(said["release"] != os.environ["PENSTOCK_VERSION"])
"""


def story(dir, penstock):
    deploy = {"replicas": 2, "keep_old": "60s",
              "strategy": {"blue_green": {"verify": {"run": "python3 tests/verify.py", "timeout": "1m"}, "approve": True}}}
    service = Puppet(dir, penstock, deploy, preview=True)
    daemon = service.daemon
    service.write("tests/verify.py", CHECK)
    first = service.first(content=1)
    equal(service.ask(service.preview).status, 503, "the preview when nothing is shown")
    contains(service.ask(service.preview).body.decode(), "no release of target prod is on preview now", "its text")
    service.start_load()

    run = service.push_model(content=2)
    rollout = service.until(run, "verifying")
    # What is shown is the new one, and clients see the old one alone.
    second = rollout["candidate"]["version"]
    shown = wait("the preview", lambda: service.ask(service.preview).status == 200 and service.ask(service.preview).json)
    equal(shown["release"], second, "the release on the preview address")
    before = service.tally()["ok"]
    equal(list(before), [first], "who answered clients")
    copies = wait("the verification", lambda: [c for c in service.copies(second) if service.ask(f"127.0.0.1:{c['port']}").json["knobs"].get("verified")])
    equal(len(copies), 1, "the verify command asked once")
    for copy in service.copies(second):
        service.knob(copy, "go")
    rollout = service.until(run, "awaiting")
    equal(rollout["verify"]["status"], "passed", "the verification")
    wait("its saying what it waits for", lambda: "penstock approve" in service.rollout(run)["waits_for"])
    equal(service.ask().json["release"], first, "who answers clients before the approval")
    contains(daemon.penstock("resume", "prod", status=1).err, "penstock approve", "resume in place of an approval")

    daemon.penstock("approve", "prod")
    shown = daemon.wait_run(run)
    equal(shown["outcome"], "success", f"the run ({shown['reason']})")
    contains(shown["rollout"]["reason"], "approved by", "the reason")
    equal(daemon.live(), second, "what is live")
    equal(service.ask().json["release"], second, "who answers")
    wait("an empty preview", lambda: service.ask(service.preview).status == 503)
    weights = {e["data"]["weight_ppm"] for e in daemon.events(f"rollout/{rollout['id']}") if "weight_ppm" in e["data"]}
    equal(weights, {0, 1000000}, "the weights on the way")

    # Within keep_old the old copies are there: no new one is started on the way back.
    kept = {c["start"] for c in service.copies(first)}
    equal(len(kept), 2, "copies kept")
    daemon.penstock("rollback", "--wait", "prod", status=None)
    equal(daemon.live(), first, "what is live after the rollback")
    equal(service.ask().json["release"], first, "who answers after the rollback")
    equal({c["start"] for c in service.copies(first)}, kept, "the copies that serve again")
    service.sent_more(100)
    service.replays(rollout["id"])
    service.end_load()
    check({first, second} <= set(service.tally()["ok"]), "both have answered")


scenario(story)
