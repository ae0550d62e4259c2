"""A server is killed under load again and again, each time at another moment, for a minute."""

import time

from databases import NO_READS
from registry import ALL, fault

LOOP_S, BRIEF_S = 60, 8
# Between the ends: how long all is well, and how long the server is away.
UP_S, DOWN_S = (0.05, 0.8), (0, 1.5)


@fault("killed-in-a-loop", 9, ALL, load=NO_READS, soak=False)
def killed_in_a_loop(scene):
    """kill -9 of the lock server, or of the database where there is none, in a loop: no promise is lost."""
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
