"""Power cuts: a server is killed under load for a minute, each time at another moment."""

import time

from databases import NO_READS
from registry import ALL, fault

LOOP_S, BRIEF_S = 60, 8
# Ranges for the time between kills and for the time that the server is down.
UP_S, DOWN_S = (0.05, 0.8), (0, 1.5)


@fault("killed-in-a-loop", 9, ALL, load=NO_READS, soak=False)
def killed_in_a_loop(scene):
    """kill -9 of the lock server, or else of the database, in a loop: no acknowledged operation is lost."""
    server = scene.stack[scene.lock_server or "mysql"]
    end = time.monotonic() + (BRIEF_S if scene.brief else LOOP_S)
    refused, done = scene.count("holdfast_http_requests_total", 'status="503"'), scene.done()
    while time.monotonic() < end:
        time.sleep(scene.random.uniform(*UP_S))
        server.kill()
        time.sleep(scene.random.uniform(*DOWN_S))
        server.start()
        scene.recover_all(time.monotonic())
        scene.bit("kills")
    scene.bit("requests refused", scene.count("holdfast_http_requests_total", 'status="503"') - refused)
    scene.bit("transactions", scene.done() - done)
