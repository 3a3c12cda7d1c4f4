"""Corrupt data is stopped by validation, which names the rows; what is live stays."""
import re

from harness import Model, contains, equal, scenario


def story(dir, penstock):
    model = Model(dir, penstock)
    live = model.release("A first model")
    model.start_load()
    rows = model.read("data/wdbc.csv").splitlines(True)
    rows[17] = re.sub(r"^(\d+),([^,]*),", r"\1,-\2,", rows[17])
    rows[230] = re.sub(r"^(\d+),([^,]*),", r"\1,9999,", rows[230])
    model.write("data/wdbc.csv", "".join(rows))
    run = model.push("New data from the lab")
    shown = model.daemon.wait_run(run)
    equal(shown["outcome"], "failed", f"the run ({shown['reason']})")
    data = next(s for s in shown["stages"] if s["name"] == "data")
    equal(data["outcome"], "failed", "the stage")
    contains(data["reason"], "line 18", "the reason")
    equal([s["name"] for s in shown["stages"] if s["name"] in ("train", "image", "release") and s["attempts"]], [], "stages that ran all the same")
    equal(model.daemon.live(), live, "what is live")
    model.end_load()


scenario(story)
