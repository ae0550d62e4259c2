// Prints the settings in force, and the help for all settings. `holdfast config` prints the format
// of the file, so its output, with the secrets filled in, is a file with the same settings.
#include "config/config.h"

#include "base/text.h"
#include "config/settings.h"

#include <string.h>

static void print_origin(const struct config *config, int index, struct buffer *out)
{
    char variable[SETTING_NAME_MAX];
    switch (config->origin[index].source) {
    case SOURCE_DEFAULT:
        buffer_append_text(out, "default");
        break;
    case SOURCE_FILE:
        buffer_format(out, "%s line %d", config->file, config->origin[index].line);
        break;
    case SOURCE_ENVIRONMENT:
        setting_variable(&settings[index], variable);
        buffer_format(out, "environment %s", variable);
        break;
    case SOURCE_VARIABLE_FILE:
        setting_variable(&settings[index], variable);
        buffer_format(out, "file of %s_FILE", variable);
        break;
    case SOURCE_FLAG:
        buffer_format(out, "flag --%s", settings[index].name);
        break;
    }
}

void config_print(const struct config *config, struct buffer *out)
{
    for (int i = 0; settings[i].name; i++) {
        char value[CONFIG_TEXT_MAX];
        setting_show(&settings[i], config, value);
        buffer_format(out, "%-18s = %-28s # ", settings[i].name, value);
        print_origin(config, i, out);
        buffer_append_text(out, "\n");
    }
}

void config_help(struct buffer *out)
{
    for (const struct setting *setting = settings; setting->name; setting++) {
        char expected[CONFIG_ERROR_MAX];
        setting_expected(setting, expected, sizeof(expected));
        buffer_format(out, "  --%s %s\n", setting->name,
                      setting->type == SETTING_TRUTH ? "[on|off]" : "VALUE");
        buffer_append_wrapped(out, setting->help, 6, 100);
        bool limited = setting->type != SETTING_TEXT && setting->type != SETTING_ADDRESS &&
                       setting->type != SETTING_SECRET;
        if (limited)
            buffer_format(out, "      %s; default %s\n", expected, setting->fallback);
        else if (*setting->fallback)
            buffer_format(out, "      default %s\n", setting->fallback);
    }
}
