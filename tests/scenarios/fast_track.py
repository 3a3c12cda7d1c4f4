"""A release that was live within rollback_window goes live again at once; one that was taken back is judged again."""
from harness import check, contains, equal, scenario, wait
from puppet import Puppet


def story(dir, penstock):
    # Nobody sends requests to be judged by, and the holds are long: only the fast track ends in this scenario.
    canary = {"canary": {"steps": ["10%"], "hold": {"at_least": "10m", "at_most": "1h"}}}
    service = Puppet(dir, penstock, {"strategy": canary, "rollback_window": "1h", "keep_old": "30s"})
    daemon = service.daemon
    service.model(content=1)
    first_run = service.push("First")
    equal(daemon.wait_run(first_run)["outcome"], "success", "the first release")
    first = daemon.live()
    service.start_load()
    run = service.push_model(content=2)
    service.until(run, "stepping")
    daemon.penstock("promote", "--full", "prod")
    equal(daemon.wait_run(run)["outcome"], "success", "the second release")
    daemon.penstock("promote", "prod")
    service.until(run, "promoted")

    # The same image again: no steps, no analysis, the old copies are kept.
    daemon.penstock("retry", "--from", "release", str(first_run))
    again = max(r["id"] for r in daemon.runs())
    shown = daemon.wait_run(again)
    equal(shown["outcome"], "success", f"the former release ({shown['reason']})")
    check(shown["rollout"]["fast_track"], "it says that it took the fast track")
    contains(shown["rollout"]["reason"], "fast track: it was live until 2", "the reason")
    equal(shown["rollout"]["state"], "keeping_old", "the rollout")
    equal(daemon.events(f"rollout/{shown['rollout']['id']}", "rollout.step"), [], "its steps")
    service.replays(shown["rollout"]["id"])
    equal(service.ask().json["release"], first, "who answers")

    # Taken back by a person: what was found bad is judged like any other.
    daemon.penstock("rollback", "--wait", "prod", status=None)
    wait("the second release", lambda: daemon.live() != first)
    daemon.penstock("retry", "--from", "release", str(first_run))
    again = max(r["id"] for r in daemon.runs())
    rollout = service.until(again, "stepping")
    check(not rollout["fast_track"], "no fast track for a release that was taken back")
    daemon.penstock("rollback", "prod")
    equal(daemon.wait_run(again)["outcome"], "rolled_back", "the run")
    service.replays(rollout["id"])
    service.end_load()


scenario(story)
