"""The share of visits that become orders, as the operator's Prometheus counts it, decides: a release that sells less goes back, one
that sells as well is promoted."""
from harness import Prometheus, Service, contains, equal, free_range, scenario

METRIC = ("{metric: orders, source: prom, events: shop_orders_total, total: shop_visits_total, better: higher, no_worse_than: stable, "
          "margin: 20%, every: 1s}")


def story(dir, penstock):
    ports = free_range(12)
    prometheus = Prometheus(dir, range(ports, ports + 12)).start()
    # The guard against a bad minute of one copy wants many minutes for rates as high as these; what is shown here is where the numbers come from.
    service = Service(dir, penstock, [METRIC], policies="bursts: none", rate=400, more=prometheus.source, ports=ports)
    daemon = service.daemon
    first = service.release("Every second visitor buys", orders=0.5)
    service.start_load()
    run = service.candidate("Every tenth visitor buys", orders=0.1)
    shown = daemon.wait_run(run)
    equal(shown["outcome"], "rolled_back", f"the run ({shown['reason']})")
    contains(shown["rollout"]["reason"], "orders", "the reason")
    equal(shown["rollout"]["decided_by"], "analysis", "who decided")
    equal(daemon.live(), first, "what is live")
    service.look_back(shown["rollout"]["id"], "orders")
    contains(service.explained(shown["rollout"]["id"]), "prom", "the explanation")

    run = service.candidate("Every second visitor buys again", orders=0.5, build=2)
    shown = daemon.wait_run(run)
    equal(shown["outcome"], "success", f"the run ({shown['reason']})")
    contains(shown["rollout"]["reason"], "orders", "the reason")
    service.look_back(shown["rollout"]["id"], "orders")
    service.end_load()


scenario(story)
