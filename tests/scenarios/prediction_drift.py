"""A release that predicts other classes goes back; one that predicts the same ones, in other words the same model, is promoted. The
numbers come from the copies' own pages."""
from harness import Service, contains, equal, scenario

METRIC = "{metric: prediction_drift, at_most: 0.1, source: app, every: 1s}"


def story(dir, penstock):
    service = Service(dir, penstock, [METRIC], rate=400)
    daemon = service.daemon
    first = service.release("A model")
    service.start_load()
    run = service.candidate("Foxes everywhere", classes={"cat": 0.1, "dog": 0.3, "fox": 0.6})
    shown = daemon.wait_run(run)
    equal(shown["outcome"], "rolled_back", f"the run ({shown['reason']})")
    contains(shown["rollout"]["reason"], "prediction_drift", "the reason")
    equal(shown["rollout"]["decided_by"], "analysis", "who decided")
    equal(daemon.live(), first, "what is live")
    service.look_back(shown["rollout"]["id"], "prediction_drift")

    run = service.candidate("The same model, built anew", classes={"cat": 0.5, "dog": 0.3, "fox": 0.2}, build=2)
    shown = daemon.wait_run(run)
    equal(shown["outcome"], "success", f"the run ({shown['reason']})")
    contains(shown["rollout"]["reason"], "prediction_drift", "the reason")
    service.look_back(shown["rollout"]["id"], "prediction_drift")
    service.end_load()


scenario(story)
