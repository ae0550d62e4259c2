"""Other operations than deducts, each beside the row of deducts that it is compared with: conditional,
combined, one instance, MariaDB. The load tester's own scenarios, so that the ledger of each is checked."""

import concurrent.futures
import dataclasses
import tempfile

import load
from rows import BATCHES, MANY, WORKERS

ONE = ("conditional", "combined", "hot", "1", "mariadb", "any")
MANY_SKUS = ("conditional", "combined", "spread", "1", "mariadb", "any")
SETTINGS = {"workers": WORKERS, "combine__max_batch": BATCHES["combined"]}
HELD = "600s"  # longer than the run: no reservation expires

ISSUE = """POST /v1/coupons/C-{{random %d}}/issue
Content-Type: application/json
Idempotency-Key: {{key}}

{"user_id":"{{user}}"}
"""


@dataclasses.dataclass(frozen=True)
class Work:
    """Operations of one scenario of the load tester."""

    word: str  # chooses it
    name: str
    of: tuple  # the words of the row of deducts
    arguments: tuple
    settings = SETTINGS

    def under_load(self, servers, options):
        report, cores = load.run_load(servers.ports, load.service_pids(servers), options.seconds, *self.arguments,
                                      "--connections", str(options.connections))
        return load.sample(report, cores, load.service_metrics(servers))

    def measure(self, options):
        def work(servers):
            sample = self.under_load(servers, options)
            load.check_alive(servers)
            return sample
        return load.with_servers("mariadb", 1, self.settings, work)


class Interleaved(Work):
    """Deducts and coupons at the same time: a section cannot take both. The coupons are requests of a
    template, because the load tester has one campaign, and are checked by the service's reconciliation."""

    KEYS = MANY // 2  # of each kind

    def under_load(self, servers, options):
        for number in range(self.KEYS):
            answer = servers.call("PUT", f"/v1/coupons/C-{number}", {"total": load.STOCK, "per_user_limit": 1})
            if answer.status not in (200, 201):
                raise load.Failed(f"{answer}")
        connections = ("--connections", str(max(1, options.connections // 2)))
        pids = load.service_pids(servers)
        with tempfile.NamedTemporaryFile("w", suffix=".http") as template, \
                concurrent.futures.ThreadPoolExecutor() as threads:
            template.write(ISSUE % self.KEYS)
            template.flush()
            coupons = threads.submit(load.run_load, servers.ports, {}, options.seconds, "--template", template.name,
                                     "--users", "1000000000", *connections)
            report, cores = load.run_load(servers.ports, pids, options.seconds, *self.arguments, *connections)
            issued, own = coupons.result()
        if issued["outcomes"]["ok"] < issued["operations"] * 0.99:
            raise load.Failed(f"not all coupons were issued: {issued['outcomes']} {issued['problems']}")
        sample = load.sample(report, cores, load.service_metrics(servers))
        sample["rate"] += issued["ok_rate"]
        sample["ok"] += issued["outcomes"]["ok"]
        sample["cpu"]["load"] = sample["cpu"].get("load", 0) + own.get("load", 0)
        for name in "p50", "p99", "p99.9":
            mine = name.replace(".", "") + "_ms"
            sample[mine] = max(sample[mine], issued["ok_latency_ms"][name])
        found = servers.call("POST", "/v1/reconciliation").body
        if not found["clean"]:
            sample["violations"] += found["findings_shown"]
            sample["broken"]["reconciliation"] = found["findings_shown"]
        return sample


POINTS = ("--scenario", "points", "--balance", str(load.STOCK))
STOCK = ("--stock", str(load.STOCK))
RESERVE = ("--scenario", "reserve", *STOCK, "--mix", "reserve=1", "--ttl", HELD, "--partial", "0")
INTERLEAVED = Interleaved("interleaved", "deducts and coupons, 500 keys each", MANY_SKUS,
                          ("--scenario", "deduct", "--skus", str(Interleaved.KEYS), *STOCK))
WORKS = [
    INTERLEAVED,
    Work("earn", "earn points, one account", ONE, (*POINTS, "--accounts", "1", "--mix", "earn=1")),
    Work("transfer", "transfer points, 1,000 accounts", MANY_SKUS,
         (*POINTS, "--accounts", str(MANY), "--mix", "transfer=1")),
    Work("reserve", "reserve, one SKU", ONE, (*RESERVE, "--then", "leave=1")),
    Work("confirm", "reserve and confirm in turn, one SKU", ONE, (*RESERVE, "--then", "confirm=1")),
    Work("order", "order of one to three of 1,000 SKUs", MANY_SKUS,
         ("--scenario", "checkout", *STOCK, "--skus", str(MANY), "--lines", "3", "--mix", "order=1", "--cancel", "0",
          "--refund", "0", "--code", "0", "--accounts", str(MANY), "--balance", str(load.STOCK), "--ttl", HELD)),
]


def choose(words, quick):
    """The works that these words choose, and the other words. No words: all of them, quick: the one with a
    goal."""
    chosen = [work for work in WORKS if work.word in words]
    if not words:
        chosen = [INTERLEAVED] if quick else WORKS
    return chosen, [word for word in words if word not in {work.word for work in chosen}]
