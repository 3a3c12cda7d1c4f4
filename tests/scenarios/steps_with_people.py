"""Canary steps that wait for people, with copies and holds of their own; an early approval counts, promote leaves one step."""
from harness import contains, equal, scenario, wait
from puppet import Puppet

STEPS = [
    {"weight": "10%", "replicas": 1, "hold": {"at_least": "1s"}, "pause": True},
    {"weight": "30%", "replicas": 2, "hold": {"at_least": "2s"}, "approve": True},
    {"weight": "60%", "hold": {"at_least": "10m", "at_most": "1h"}},
    {"weight": "80%", "approve": True},
]


def story(dir, penstock):
    analysis = {"min_requests": 10, "metrics": [{"metric": "error_rate", "no_worse_than": "stable", "margin": "20%"}]}
    deploy = {"replicas": 3, "analysis": analysis, "strategy": {"canary": {"steps": STEPS, "hold": {"at_least": "1s", "at_most": "5m"}}}}
    service = Puppet(dir, penstock, deploy, rate=300)
    daemon = service.daemon
    first = service.first(content=1)
    service.start_load()
    run = service.push_model(content=2)

    def at(step, state, ppm, copies):
        """In this step, and so it was read back from HAProxy."""
        def there():
            rollout = service.rollout(run)
            arm = next((a for a in (rollout.get("actual") or {}).get("arms", []) if a["version"] == rollout["candidate"]["version"]), None)
            return rollout if arm and (rollout["state"], rollout["step"], arm["weight_ppm"]) == (state, step, ppm) else None
        rollout = wait(f"step {step} to be {state}", there, 40)
        equal(len(service.copies(rollout["candidate"]["version"])), copies, f"copies in step {step}")
        return rollout

    at(1, "awaiting", 100000, 1)
    contains(daemon.penstock("approve", "prod", status=1).err, "penstock resume", "approving what waits for resume")
    wait("its saying what it waits for", lambda: "penstock resume" in service.rollout(run)["waits_for"] and service.rollout(run)["held"])
    daemon.penstock("resume", "prod")

    wait("step 2", lambda: service.rollout(run)["step"] == 2)
    # Before the evidence is there: it counts, and does not replace it.
    daemon.penstock("approve", "prod")
    rollout = wait("step 3", lambda: service.rollout(run)["step"] == 3 and service.rollout(run))
    events = [e for e in daemon.events(f"rollout/{rollout['id']}")]
    steps = {e["data"]["step"]: e for e in events if e["kind"] == "rollout.step"}
    equal(sorted(steps), [1, 2, 3], "steps so far")
    equal(steps[3]["data"]["decided_by"], "analysis", "who let it go to step 3")
    if steps[3]["at_ms"] - steps[2]["at_ms"] < 2000:
        raise AssertionError("step 2 was left before its own hold.at_least")
    equal(len([e for e in events if e["kind"] == "rollout.awaiting" and e["data"]["step"] == 2]), 0, "waits in step 2")

    at(3, "stepping", 600000, 3)
    daemon.penstock("promote", "prod")
    # One step and no more: the next is judged, and waits for its own approval.
    at(4, "awaiting", 800000, 3)
    daemon.penstock("approve", "prod")
    shown = daemon.wait_run(run)
    equal(shown["outcome"], "success", f"the run ({shown['reason']})")
    contains(shown["rollout"]["reason"], "approved by", "the reason")
    equal(set(service.tally()["ok"]), {first, daemon.live()}, "who answered")
    service.replays(rollout["id"])
    service.sent_more(100)
    service.end_load()


scenario(story)
