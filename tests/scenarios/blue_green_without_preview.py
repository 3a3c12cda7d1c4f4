"""A verification on a target that has no preview address: the reason names the key that is missing."""
from harness import contains, equal, scenario
from puppet import Puppet


def story(dir, penstock):
    service = Puppet(dir, penstock, {"strategy": {"blue_green": {"verify": "true"}}})
    first = service.first(content=1)
    shown = service.daemon.wait_run(service.push_model(content=2))
    equal(shown["outcome"], "infra", f"the run ({shown['reason']})")
    contains(shown["reason"], "has no preview address", "the reason")
    contains(shown["reason"], "set `preview`", "the reason")
    equal(service.daemon.live(), first, "what is live")


scenario(story)
