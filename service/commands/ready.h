// The sub-command for whoever looks after the process and has no HTTP client at hand: a container's
// health check, a script that waits.
#pragma once

// Asks the service that serves on `listen` (as the setting is written) for /readyz and prints what
// it answers; standard error says why nobody did. 0 ready, 1 not ready or no answer within two
// seconds, 2 there is no such address.
int command_ready(const char *listen);
