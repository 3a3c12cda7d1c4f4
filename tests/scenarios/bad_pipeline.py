"""A pipeline with mistakes: all of them are told at their places, and nothing is started."""
from harness import Daemon, Repository, contains, equal, scenario

BAD = """version: 1
name: bad
on:
  push: {branches: [main]}
stages:
  train:
    run: echo trained
    tiemout: 5m
  score:
    needs: [trian]
    run: echo scored
"""


def story(dir, penstock):
    daemon = Daemon(dir, penstock, ["bad"]).start()
    repository = Repository(daemon, "bad", {".penstock.yml": BAD})
    run = repository.push("With mistakes")
    shown = daemon.wait_run(run)
    equal(shown["outcome"], "failed", f"the run ({shown['reason']})")
    equal([stage for stage in shown["stages"] if stage["attempts"]], [], "stages that were started")
    text = daemon.penstock("show", "--wait", str(run), status=1).out
    for part in (".penstock.yml:8:5: error: ", "tiemout", "did you mean \"timeout\"?", ".penstock.yml:10:13: error: ", "did you mean \"train\"?", "^~~~"):
        contains(text, part, "show")

    repository.write(".penstock.yml", "version: 1\nstages: [\n")
    run = repository.push("Not even YAML")
    equal(daemon.wait_run(run)["outcome"], "failed", "the run")
    contains(daemon.penstock("show", "--wait", str(run), status=1).out, ".penstock.yml:", "show")

    repository.git("rm", "-q", "-f", ".penstock.yml")
    run = repository.push("None at all")
    shown = daemon.wait_run(run)
    equal(shown["outcome"], "skipped", f"a commit without a pipeline ({shown['reason']})")


scenario(story)
