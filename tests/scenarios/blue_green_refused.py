"""Blue-green that fails its verification: exit code and last line in the reason, a time-out, no preview, a daemon killed meanwhile."""
from harness import contains, equal, scenario, wait
from puppet import Puppet

# Once: a second run would be counted by the copy. It waits for the knob "go", then for its end.
SLOW = """import json, os, urllib.request
url = os.environ["PENSTOCK_PREVIEW_URL"]
urllib.request.urlopen(url + "/verify", timeout=5)
while not json.load(urllib.request.urlopen(url + "/predict", timeout=5))["knobs"].get("go"):
    pass
"""


def strategy(run, **more):
    return {"blue_green": {"verify": dict({"run": run}, **more)}}


def refused(service, run, live, *words, outcome="rolled_back"):
    shown = service.daemon.wait_run(run)
    equal(shown["outcome"], outcome, f"run {run} ({shown['reason']})")
    for word in words:
        contains(shown["rollout"]["reason"], word, "the reason")
    equal(service.daemon.live(), live, "what is live")
    wait("an empty preview", lambda: service.ask(service.preview).status == 503)
    service.replays(shown["rollout"]["id"])


def story(dir, penstock):
    service = Puppet(dir, penstock, {"strategy": strategy("echo predictions differ by 12%; exit 7")}, preview=True)
    daemon = service.daemon
    first = service.first(content=1)
    service.start_load()
    refused(service, service.push_model(content=2), first, "the verify command failed", "exit code 7", "predictions differ by 12%")

    service.deploy(strategy=strategy("exec sleep 600", timeout="1s"))
    refused(service, service.push_model(content=3), first, "the verify command failed", "timed out after 1")

    # The daemon is killed while the command runs: the next one finds it, and does not run it again.
    service.write("slow.py", SLOW)
    service.deploy(strategy=strategy("python3 slow.py"))
    run = service.push_model(content=4)
    version = service.until(run, "verifying")["candidate"]["version"]
    asked = lambda: service.ask(f"127.0.0.1:{service.copies(version)[0]['port']}").json["knobs"].get("verified", 0)
    wait("the verify command", asked)
    daemon.kill9()
    service.sent_more(50)
    daemon.start()
    wait("the verification to be seen", lambda: service.rollout(run)["verify"]["status"] == "running")
    service.knob(service.copies(version)[0], "go")
    shown = daemon.wait_run(run)
    equal(shown["outcome"], "success", f"the run ({shown['reason']})")
    equal(asked(), 1, "times the verify command ran")
    service.replays(shown["rollout"]["id"])
    service.sent_more(50)
    tally = service.tally()["ok"]
    equal(set(tally), {first, version}, "who answered clients")
    service.end_load()


scenario(story)
