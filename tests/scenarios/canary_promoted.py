"""A better model is promoted by its canary's evidence, step by step, and nobody notices."""
from harness import BETTER, Model, check, equal, scenario


def story(dir, penstock):
    model = Model(dir, penstock, rate=300)
    first = model.release("A first model")
    model.start_load()
    model.params(features=BETTER)
    run = model.push("A better model")
    weights = set()

    def look(shown):
        rollout = shown["rollout"] or {}
        if rollout.get("state") == "stepping":
            weights.add(rollout["weight_ppm"])
        return False
    shown = model.daemon.wait_run(run, look)
    equal(shown["outcome"], "success", f"the run ({shown['reason']})")
    better = model.daemon.live()
    check(better not in (None, first), "the better model is live")
    check(weights & {50000, 250000}, f"weights seen on the way: {weights}")
    check(shown["rollout"]["state"] in ("promoted", "keeping_old", "finished"), f"the rollout: {shown['rollout']['state']}")
    check(shown["rollout"]["reason"], "the rollout says why")
    model.sent_more(300)
    model.end_load()
    answered = model.tally()["ok"]
    check(answered.get(first) and answered.get(better), f"both answered: {answered}")


scenario(story)
