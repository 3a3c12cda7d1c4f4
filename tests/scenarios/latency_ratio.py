"""A release that takes three times as long is found by the ratio of the 99th percentiles and taken back."""
from harness import Service, check, contains, equal, scenario

METRIC = "{metric: latency_p99, no_worse_than: stable, ratio: 1.2}"


def story(dir, penstock):
    # Slow enough that what a busy machine adds is little beside it.
    service = Service(dir, penstock, [METRIC], rate=150)
    daemon = service.daemon
    first = service.release("Twenty milliseconds", ms=20)
    service.start_load()
    run = service.candidate("Sixty milliseconds", ms=60)
    shown = daemon.wait_run(run)
    equal(shown["outcome"], "rolled_back", f"the run ({shown['reason']})")
    rollout = shown["rollout"]
    contains(rollout["reason"], "latency_p99", "the reason")
    equal(rollout["decided_by"], "analysis", "who decided")
    equal(daemon.live(), first, "what is live")
    service.look_back(rollout["id"], "latency_p99")
    service.sent_more(100)
    service.end_load()
    check(service.tally()["ok"].get(rollout["candidate"]["version"], 0) > 0, "the slow release answered too")


scenario(story)
