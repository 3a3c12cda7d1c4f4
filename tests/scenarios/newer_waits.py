"""A newer release in the middle of a canary: it waits for the end where the rollout says so, and takes its place where it does not."""
from harness import contains, equal, scenario, wait
from puppet import Puppet


def story(dir, penstock):
    canary = {"canary": {"steps": ["10%", "50%"], "hold": {"at_least": "10m", "at_most": "1h"}}}
    service = Puppet(dir, penstock, {"strategy": canary, "newer_release": "wait", "keep_old": "2s"})
    daemon = service.daemon
    first = service.first(content=1)
    service.start_load()
    one = service.push_model(content=2)
    service.until(one, "stepping")
    two = service.push_model(content=3)
    waiting = service.until(two, "waiting")
    contains(waiting["waits_for"], "the rollout before it", "what the newer one waits for")
    # The newest of those that wait takes the place of the others: that one has not begun.
    service.deploy(strategy=canary, newer_release="supersede", keep_old="2s")
    three = service.push_model(content=4)
    equal(daemon.wait_run(two)["outcome"], "cancelled", "the one between")
    contains(daemon.show(two)["reason"], f"superseded by run {three}", "its reason")
    equal(service.rollout(one)["state"], "stepping", "the one under way")
    service.until(three, "waiting")
    daemon.penstock("promote", "--full", "prod")
    equal(daemon.wait_run(one)["outcome"], "success", "the one under way, let to its end")
    second = service.rollout(one)["candidate"]["version"]
    rollout = service.until(three, "stepping")
    equal(rollout["stable"]["version"], second, "what the next one is judged against")

    # That one may be displaced: it goes back first.
    four = service.push_model(content=5)
    equal(daemon.wait_run(three)["outcome"], "cancelled", "the one that may be displaced")
    contains(daemon.show(three)["reason"], f"superseded by run {four}", "its reason")
    service.until(four, "stepping")
    equal(daemon.live(), second, "what is live")
    daemon.penstock("promote", "--full", "prod")
    equal(daemon.wait_run(four)["outcome"], "success", "the last one")
    for run in (one, three, four):
        service.replays(service.rollout(run)["id"])
    service.end_load()


scenario(story)
