// Ctrl-C, and SIGTERM, as something to ask for: a run that is interrupted still writes its reports.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// From here on neither signal ends the process; they are pending until interrupt_take. Holds for
// the calling thread and those that it starts afterwards.
void interrupt_block(void);

// Waits for a signal, at most for `wait_ns` (below a second; 0: only looks), and takes it. False if
// none came. Any thread after interrupt_block; before it a signal ends the process as usual.
bool interrupt_take(int64_t wait_ns);
