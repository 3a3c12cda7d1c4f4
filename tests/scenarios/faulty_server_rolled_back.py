"""A good model whose server fails some requests is taken back by the canary's analysis; only its own share ever failed."""
from harness import BETTER, Model, check, equal, scenario


def story(dir, penstock):
    model = Model(dir, penstock, rate=300, margin="3%")
    good = model.release("A good model", features=BETTER)
    model.start_load()
    model.change("src/serve.py", lambda text: text.replace("    p = MODEL.predict(row)\n",
                 "    if row.get(\"radius_mean\", 0) > 17:\n        raise OverflowError(\"radius_mean out of range\")\n    p = MODEL.predict(row)\n"))
    run = model.push("Guard against implausible rows")
    shown = model.daemon.wait_run(run)
    equal(shown["outcome"], "rolled_back", f"the run ({shown['reason']})")
    equal(shown["rollout"]["state"], "rolled_back", "the rollout")
    check("error" in shown["rollout"]["reason"], f"the rollout's reason: {shown['rollout']['reason']}")
    equal(model.daemon.live(), good, "what is live")
    equal(model.daemon.penstock("show", "--wait", str(run), status=4).status, 4, "the exit status of show")
    model.sent_more(200)
    check(model.end_load(shown["rollout"]["candidate"]["version"]) > 0, "the faulty release was judged by its own failures")


scenario(story)
