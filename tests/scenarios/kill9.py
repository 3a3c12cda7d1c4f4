"""kill -9 of the daemon at many points of a run: every stage runs exactly once, and the run ends as if nothing had happened."""
from harness import Daemon, Repository, equal, scenario, wait

PIPELINE = """version: 1
name: steps
on:
  push: {branches: [main]}
stages:
  one:
    run: echo ran-one; sleep 0.5; echo 1 > one.txt
    outputs: [one.txt]
  two:
    needs: [one]
    run: echo ran-two; sleep 0.5; cp one.txt two.txt
    outputs: [two.txt]
  three:
    needs: [two]
    run: echo ran-three; sleep 0.5; cat two.txt
"""
STAGES = ("one", "two", "three")


def story(dir, penstock):
    daemon = Daemon(dir, penstock, ["steps"]).start()
    repository = Repository(daemon, "steps", {".penstock.yml": PIPELINE})

    def state_of(run, name):
        return next((s["state"] for s in daemon.show(run)["stages"] if s["name"] == name), None)

    def restart():
        daemon.kill9()
        daemon.start()

    # At once after the 202; in each stage; as each has just finished.
    points = [lambda run: True]
    for name in STAGES:
        points.append(lambda run, name=name: state_of(run, name) == "running")
        points.append(lambda run, name=name: state_of(run, name) == "finished")
    for number, point in enumerate(points):
        run = repository.push(f"Killed at point {number}")
        wait(f"point {number}", lambda: point(run), 60)
        restart()
        finished_once(daemon, run, number)

    # At every one of them in a single run; and while the daemon is down, the stage goes on to its end.
    run = repository.push("Killed all the time")
    for number, point in enumerate(points):
        wait(f"point {number} of many", lambda: point(run), 60)
        restart()
    finished_once(daemon, run, "all")


def finished_once(daemon, run, where):
    shown = daemon.wait_run(run)
    equal(shown["outcome"], "success", f"run {run}, killed at {where} ({shown['reason']}): outcome")
    for stage in shown["stages"]:
        equal(stage["attempts"], 1, f"run {run}, killed at {where}: attempts of {stage['name']}")
        log = daemon.penstock("logs", str(run), "--stage", stage["name"]).out
        equal(log.count("ran-" + stage["name"]), 1, f"run {run}, killed at {where}: times {stage['name']} ran\n{log}")


scenario(story)
