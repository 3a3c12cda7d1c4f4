"""A long run: its log is followed, it is cancelled, its processes are gone, and it runs once more from where it failed."""
import subprocess

from harness import Daemon, Repository, check, children, contains, environment, equal, left_running, scenario, wait

PIPELINE = """version: 1
name: long
on:
  push: {branches: [main]}
stages:
  quick:
    run: echo quick-ran; echo data > data.txt
    outputs: [data.txt]
  long:
    needs: [quick]
    run: |
      echo begun
      sleep 600 & wait
  after:
    needs: [long]
    run: echo never
"""


def story(dir, penstock):
    daemon = Daemon(dir, penstock, ["long"]).start()
    repository = Repository(daemon, "long", {".penstock.yml": PIPELINE})
    run = repository.push("Takes long")
    follow = subprocess.Popen([penstock, "logs", str(run), "--follow"], env=environment(PENSTOCK_SOCKET=daemon.socket), text=True, stdout=subprocess.PIPE)
    children.append(follow)
    seen = ""
    while "begun" not in seen:
        line = follow.stdout.readline()
        check(line, f"the log ended before its time:\n{seen}")
        seen += line
    contains(seen, "quick-ran", "the followed log")
    equal(daemon.stage(run, "long")["state"], "running", "the stage that was seen to begin")

    daemon.penstock("cancel", str(run))
    shown = daemon.wait_run(run)
    equal(shown["outcome"], "cancelled", "the cancelled run")
    equal({s["name"]: s["outcome"] for s in shown["stages"]}["quick"], "success", "the stage before")
    equal(next(s for s in shown["stages"] if s["name"] == "after")["attempts"], 0, "attempts of the stage after")
    wait("the end of the followed log", lambda: follow.poll() is not None, 20)
    check(not [line for line in left_running(dir) if "sleep" in line], "the stage's processes outlive it")
    equal(daemon.penstock("show", str(run), "--wait", status=4).status, 4, "the exit status of show")
    check(daemon.penstock("cancel", str(run), status=None).status in (0, 1), "cancelling twice")

    # Once more, from the stage that did not end well: what went before is not run again.
    daemon.penstock("retry", str(run), "--from", "long")
    again = max(r["id"] for r in daemon.runs())
    check(again != run, "the retry is a run of its own")
    daemon.wait_run(again, lambda shown: any(s["name"] == "long" and s["state"] == "running" for s in shown["stages"]))
    equal(daemon.stage(again, "quick")["attempts"], 0, "attempts of what went before")
    daemon.penstock("cancel", str(again))
    equal(daemon.wait_run(again)["outcome"], "cancelled", "the second run")


scenario(story)
