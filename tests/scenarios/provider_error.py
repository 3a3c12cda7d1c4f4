"""A Prometheus that dies in the middle of a rollout is told, never taken for evidence: the rollout waits, and at the end of its time
does what its policy says. When the Prometheus is back, the next rollout goes on."""
from harness import Prometheus, Service, contains, equal, free_range, scenario, wait

# At first a margin that nothing can be shown to keep, so that there is time for the source to fail.
METRIC = ("{metric: orders, source: prom, events: shop_orders_total, total: shop_visits_total, better: higher, no_worse_than: stable, "
          "margin: %s, every: 1s}")


def verdict(service, run):
    shown = service.rollout(run)["verdict"] or {}
    return next((metric for metric in shown.get("metrics", []) if metric["metric"] == "orders"), {})


def story(dir, penstock):
    ports = free_range(12)
    prometheus = Prometheus(dir, range(ports, ports + 12)).start()
    service = Service(dir, penstock, [METRIC % "0.1%"], at_most="8s", policies="provider_error: rollback, bursts: none", more=prometheus.source, ports=ports)
    daemon = service.daemon
    first = service.release("A shop")
    service.start_load()
    run = service.candidate("The same shop", build=2)
    wait("orders to be counted", lambda: verdict(service, run).get("n_candidate", 0) > 0, 20)
    prometheus.kill9()
    wait("the verdict", lambda: verdict(service, run).get("verdict") == "provider_error", 20)
    rollout = service.rollout(run)
    equal(rollout["state"], "stepping", "the rollout, while its source does not answer")
    contains(verdict(service, run)["trouble"], "Failed to connect", "the trouble")
    contains(service.explained(rollout["id"]), "orders: provider error", "the explanation")
    shown = daemon.wait_run(run)
    equal(shown["outcome"], "rolled_back", f"the run ({shown['reason']})")
    equal(shown["rollout"]["decided_by"], "policy", "who decided")
    contains(shown["rollout"]["reason"], "provider_error", "the reason")
    equal(daemon.live(), first, "what is live")
    service.look_back(rollout["id"], "orders")

    prometheus.start()
    service.change(".penstock.yml", lambda text: text.replace("margin: 0.1%", "margin: 15%"))
    service.change(".penstock.yml", lambda text: text.replace("at_most: 8s", "at_most: 1m"))
    shown = daemon.wait_run(service.candidate("The same shop once more", build=3))
    equal(shown["outcome"], "success", f"the run ({shown['reason']})")
    service.look_back(shown["rollout"]["id"], "orders")
    service.end_load()


scenario(story)
