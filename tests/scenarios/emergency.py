"""Stable is broken and the fix has to go out: promote --full gets it live, whatever state stable is in; rollback --now with one copy left."""
from harness import check, contains, equal, scenario, wait
from puppet import Puppet


def ready(daemon, version):
    actual = daemon.target()["actual"] or {}
    return next((arm["ready"] for arm in actual.get("arms", []) if arm["version"] == version), 0)


def story(dir, penstock):
    canary = {"canary": {"steps": ["10%"], "hold": {"at_least": "10m", "at_most": "1h"}}}
    analysis = {"metrics": [{"metric": "error_rate", "no_worse_than": "stable", "margin": "1%"}]}
    service = Puppet(dir, penstock, {"replicas": 2, "strategy": canary, "analysis": analysis, "keep_old": "60s"})
    daemon = service.daemon
    first = service.first(content=1)
    # All copies of stable are dead, and stay so: their health check fails from now on.
    for copy in service.copies(first):
        service.knob(copy, "ill")
    wait("nobody to be up", lambda: service.ask().status == 503)
    run = service.push_model(content=2)
    rollout = service.until(run, "starting", "stepping")
    second = rollout["candidate"]["version"]
    daemon.penstock("promote", "--full", "prod")
    shown = daemon.wait_run(run)
    equal(shown["outcome"], "success", f"the run ({shown['reason']})")
    equal(daemon.live(), second, "what is live")
    check(shown["rollout"]["emergency"], "it was an emergency, and the rollout says so")
    equal(service.ask().json["release"], second, "who answers")
    # An instant way back that leads to nobody is none: traffic stays where somebody answers.
    wait("the dead release to be seen so", lambda: ready(daemon, first) == 0)
    answer = daemon.penstock("rollback", "--now", "prod", status=None)
    check(answer.status == 0 or "no ready copy" in answer.err, f"rollback to the dead: {answer}")
    service.start_load()
    service.sent_more(50)
    equal(service.ask().json["release"], second, "who answers after the rollback to an arm without a copy")
    rollout = service.rollout(run)
    if rollout["state"] == "rolling_back":
        wait("its saying what it waits for", lambda: "no ready copy" in service.rollout(run)["waits_for"] and service.rollout(run)["held"])
        daemon.penstock("promote", "--full", "prod")
        service.until(run, "keeping_old")
    daemon.penstock("promote", "prod")
    service.until(run, "promoted")
    service.replays(rollout["id"])
    service.end_load()

    # Stable answers everything with 500 and the canary's analysis would take long: --full again.
    for copy in service.copies(second):
        service.knob(copy, "fail")
    run = service.push_model(content=3)
    rollout = service.until(run, "stepping")
    third = rollout["candidate"]["version"]
    daemon.penstock("promote", "--full", "prod")
    equal(daemon.wait_run(run)["outcome"], "success", "the run")
    equal(service.ask().json["release"], third, "who answers")
    # Of the two copies that are kept one does not answer: --now goes back to the other at once.
    service.knob(service.copies(second)[0], "ill")
    wait("one copy", lambda: ready(daemon, second) == 1)
    daemon.penstock("rollback", "--now", "prod")
    wait("the rollback", lambda: daemon.live() == second)
    rollout = wait("its end", lambda: service.rollout(run)["state"] == "rolled_back" and service.rollout(run))
    check(rollout["emergency"], "it says that it was an emergency")
    check(rollout["finished_ms"] - daemon.events(f"rollout/{rollout['id']}", "rollout.rolling_back")[0]["at_ms"] < 10000, "it did not wait for the second copy")
    service.replays(rollout["id"])


scenario(story)
