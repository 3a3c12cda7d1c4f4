"""kill -9 of the daemon in the middle of a rollout: traffic goes on, the rollout is finished by the next daemon, nothing ran twice."""
from harness import BETTER, Model, check, equal, scenario


def story(dir, penstock):
    model = Model(dir, penstock, rate=300)
    daemon = model.daemon
    first = model.release("A first model")
    model.start_load()
    model.params(features=BETTER)
    run = model.push("A better model")
    model.until_stepping(run)
    daemon.kill9()
    model.sent_more(400)
    daemon.start()
    # And once more, as soon as it is back.
    daemon.kill9()
    model.sent_more(200)
    daemon.start()
    shown = daemon.wait_run(run)
    equal(shown["outcome"], "success", f"the run ({shown['reason']})")
    check(daemon.live() not in (None, first), "the better model is live")
    for stage in shown["stages"]:
        check(stage["kind"] == "deploy" or stage["attempts"] == 1, f"{stage['name']} ran {stage['attempts']} times")
    model.sent_more(300)
    model.end_load()


scenario(story)
