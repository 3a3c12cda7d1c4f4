"""Without HAProxy the daemon works, a rollout ends as infrastructure, and the words name the package."""
from harness import Model, contains, equal, scenario


def story(dir, penstock):
    model = Model(dir, penstock, haproxy=dir + "/no/such/haproxy")
    run = model.push("A first model")
    shown = model.daemon.wait_run(run)
    equal(shown["outcome"], "infra", f"the run ({shown['reason']})")
    contains(shown["reason"] + str((shown["rollout"] or {}).get("reason")), "Debian's package is `haproxy`", "the reason")
    equal(next(s for s in shown["stages"] if s["name"] == "image")["outcome"], "success", "what does not need it")
    contains(model.daemon.penstock("show", "--wait", str(run), status=5).out, "Debian's package is `haproxy`", "show")


scenario(story)
