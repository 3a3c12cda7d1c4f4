"""The repository is gone when the run wants to fetch it: infrastructure, said so, and mended by a retry."""
import os

from harness import Daemon, Repository, SMALL, contains, equal, scenario


def story(dir, penstock):
    daemon = Daemon(dir, penstock, ["small"]).start()
    repository = Repository(daemon, "small", {".penstock.yml": SMALL})
    payload = repository.delivery("Soon gone")
    away = repository.bare + ".away"
    os.rename(repository.bare, away)
    run = daemon.http_post_signed("small", payload).json["run"]
    shown = daemon.wait_run(run)
    equal(shown["outcome"], "infra", "the run")
    contains(shown["reason"], f"the repository {repository.bare} is gone: put it back, or correct its url in penstock.yml, then retry the run", "the reason")
    contains(daemon.penstock("show", "--wait", str(run), status=5).out, "put it back", "show")
    os.rename(away, repository.bare)
    daemon.penstock("retry", str(run))
    again = max(r["id"] for r in daemon.runs())
    equal(daemon.wait_run(again)["outcome"], "success", "the run once more")


scenario(story)
