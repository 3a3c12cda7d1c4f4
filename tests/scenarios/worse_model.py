"""A worse model is rejected by the quality gate with numbers; no image, no rollout."""
from harness import BETTER, Model, WORSE, contains, equal, scenario


def story(dir, penstock):
    model = Model(dir, penstock)
    live = model.release("A good model", features=BETTER)
    model.start_load()
    model.params(features=WORSE)
    run = model.push("Smaller model")
    shown = model.daemon.wait_run(run)
    equal(shown["outcome"], "rejected", f"the run ({shown['reason']})")
    gate = next(s for s in shown["stages"] if s["name"] == "quality")
    equal(gate["outcome"], "rejected", "the gate")
    contains(gate["reason"], "roc_auc", "the gate's reason")
    equal([s["name"] for s in shown["stages"] if s["name"] in ("image", "release") and s["attempts"]], [], "stages that ran all the same")
    equal(len(model.daemon.ask("rollouts")["rollouts"]), 1, "rollouts")
    equal(model.daemon.live(), live, "what is live")
    equal(model.daemon.penstock("show", "--wait", str(run), status=3).status, 3, "the exit status of show")
    model.end_load()


scenario(story)
