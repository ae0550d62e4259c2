// holdfast config: prints the settings in force and where each came from.
#include "commands/commands.h"

#include "base/text.h"
#include "config/config.h"

#include <stdio.h>

int command_config(const struct config *config)
{
    struct buffer out CLEANUP(buffer_release) = {0};
    config_print(config, &out);
    if (out.failed) {
        fprintf(stderr, "holdfast config: out of memory\n");
        return EXIT_USAGE;
    }
    (void)fwrite(out.data, 1, out.length, stdout);
    return EXIT_CLEAN;
}
