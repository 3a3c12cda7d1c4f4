"""Without traffic there is no verdict. A rollout waits for it by default and says so; `no_data: promote` goes on when its time is up."""
from harness import Service, contains, equal, scenario

METRIC = "{metric: error_rate, no_worse_than: stable, margin: 3%}"


def story(dir, penstock):
    service = Service(dir, penstock, [METRIC], at_most="2s", policies="no_data: promote")
    daemon = service.daemon
    first = service.release("A first release")
    shown = daemon.wait_run(service.candidate("Nobody asks", build=2))
    equal(shown["outcome"], "success", f"the run ({shown['reason']})")
    equal(shown["rollout"]["decided_by"], "policy", "who decided")
    contains(shown["rollout"]["reason"], "no_data", "the reason")
    second = daemon.live()
    service.look_back(shown["rollout"]["id"], "error_rate")

    service.change(".penstock.yml", lambda text: text.replace(", no_data: promote", ""))
    run = service.candidate("Still nobody asks", build=3)
    shown = daemon.wait_run(run, lambda shown: shown["rollout"]["held"])
    equal(shown["rollout"]["state"], "stepping", "the rollout that holds")
    contains(shown["rollout"]["waits_for"], "no_data", "what it waits for")
    contains(service.explained(shown["rollout"]["id"]), "no_data", "the explanation")
    equal(daemon.live(), second, "what is live")
    # Traffic is what it waits for: evidence that comes late still counts.
    service.start_load()
    shown = daemon.wait_run(run)
    equal(shown["outcome"], "success", f"the run ({shown['reason']})")
    contains(shown["rollout"]["reason"], "error_rate", "the reason")
    service.look_back(shown["rollout"]["id"], "error_rate")
    service.end_load()
    equal(len({first, second, daemon.live()}), 3, "three releases were live")


scenario(story)
