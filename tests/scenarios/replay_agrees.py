"""kill -9 of the daemon in the middle of a rollout that is judged by what the model predicts: the evidence is there again, its classes in
their places, and every decision can be computed again across the break."""
from harness import Service, check, equal, scenario, wait

METRICS = ["{metric: prediction_drift, at_most: 0.1, source: app, every: 1s}", "{metric: error_rate, no_worse_than: stable, margin: 3%}",
           "{metric: latency_p99}"]


def story(dir, penstock):
    service = Service(dir, penstock, METRICS, at_least="6s", rate=400)
    daemon = service.daemon
    # The classes are seen in an order that is not that of their names.
    first = service.release("A model", classes={"yak": 0.6, "emu": 0.4})
    service.start_load()

    def seen():
        verdict = service.rollout(run)["verdict"] or {"metrics": [{"n_candidate": 0}]}
        return verdict["metrics"][0]["n_candidate"]
    run = service.candidate("The same model", build=2)
    before = wait("evidence", seen, 20)
    daemon.kill9()
    service.sent_more(200)
    daemon.start()
    check(seen() >= before, "the evidence is there again")
    wait("more evidence", lambda: seen() > before, 20)
    daemon.kill9()
    daemon.start()
    shown = daemon.wait_run(run)
    equal(shown["outcome"], "success", f"the run ({shown['reason']})")
    report = service.look_back(shown["rollout"]["id"], "prediction_drift", "error_rate", "latency_p99")
    check(report["measures"] > 2 and report["blocks"] > 2, f"what was replayed: {report}")
    second = daemon.live()

    run = service.candidate("Another model", classes={"yak": 0.1, "emu": 0.3, "ape": 0.6}, build=3)
    wait("evidence", seen, 20)
    daemon.kill9()
    daemon.start()
    shown = daemon.wait_run(run)
    equal(shown["outcome"], "rolled_back", f"the run ({shown['reason']})")
    equal(daemon.live(), second, "what is live")
    check(first != second, "the first release was replaced")
    service.look_back(shown["rollout"]["id"], "prediction_drift", "error_rate", "latency_p99")
    service.end_load()


scenario(story)
