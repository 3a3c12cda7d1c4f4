"""A person steps in: pause holds the weight, resume goes on, promote does not wait, rollback goes back to what was."""
from harness import BETTER, Model, check, equal, scenario, wait


def story(dir, penstock):
    model = Model(dir, penstock, rate=200)
    daemon = model.daemon
    # Long holds: without a person nothing would move in this scenario.
    model.change(".penstock.yml", lambda text: text.replace("at_least: 1s", "at_least: 90s").replace("keep_old: 20s", "keep_old: 60s"))
    first = model.release("A first model")
    model.start_load()
    model.params(features=BETTER)
    run = model.push("A better model")
    model.until_stepping(run)
    daemon.penstock("pause", "prod")
    shown = daemon.wait_run(run, lambda shown: shown["rollout"]["state"] == "paused")
    weight = shown["rollout"]["weight_ppm"]
    for _ in range(3):
        model.sent_more(100)
        equal(daemon.show(run)["rollout"]["weight_ppm"], weight, "the weight of a paused rollout")
    daemon.penstock("resume", "prod")
    daemon.wait_run(run, lambda shown: shown["rollout"]["state"] == "stepping")
    daemon.penstock("promote", "--full", "prod")
    shown = daemon.wait_run(run)
    equal(shown["outcome"], "success", f"the run ({shown['reason']})")
    better = daemon.live()
    check(better != first, "the better model is live")
    back = daemon.ask("rollback", "prod")
    check(back["rollout"], f"the rollback is a rollout: {back}")
    wait("the rollback", lambda: daemon.live() == first, 60)
    model.sent_more(200)
    newest = daemon.ask("rollouts")["rollouts"][0]
    equal(newest["id"], back["rollout"], "the newest rollout")
    check(newest["decided_by"] or newest["reason"], "the rollback says who asked for it")

    # And while it is on its way.
    model.params(epochs=500)
    run = model.push("One more")
    model.until_stepping(run)
    daemon.penstock("rollback", "prod")
    shown = daemon.wait_run(run)
    equal(shown["outcome"], "rolled_back", f"the run taken back by hand ({shown['reason']})")
    equal(daemon.live(), first, "what is live")
    model.end_load()


scenario(story)
