// Makes a scenario from a plan: names its resources, and prepares what the n-th operation is
// computed from, so that nothing can fail any more when the run has begun.
#include "run/scenario_parts.h"

#include "base/text.h"
#include "run/template.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TEMPLATE_BYTES_MAX ((size_t)1024 * 1024)

static bool no_memory(char *ret_error)
{
    (void)text_copy(ret_error, HISTORY_ERROR_MAX, "out of memory");
    return false;
}

// ---- the template

static void close_file(FILE **file)
{
    if (*file != NULL && *file != stdin)
        (void)fclose(*file);
}

static bool read_text(const char *path, struct buffer *text, char *ret_error)
{
    FILE *file CLEANUP(close_file) = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    char chunk[4096];
    size_t got;
    if (file == NULL) {
        (void)text_format(ret_error, HISTORY_ERROR_MAX, "--template: cannot open %.200s: %s", path,
                          strerror(errno));
        return false;
    }
    while ((got = fread(chunk, 1, sizeof chunk, file)) > 0 && text->length <= TEMPLATE_BYTES_MAX)
        buffer_append(text, chunk, got);
    if (ferror(file)) {
        (void)text_format(ret_error, HISTORY_ERROR_MAX, "--template: cannot read %.200s: %s", path,
                          strerror(errno));
        return false;
    }
    if (text->length > TEMPLATE_BYTES_MAX) {
        (void)text_format(ret_error, HISTORY_ERROR_MAX,
                          "--template: %.200s is larger than a mebibyte", path);
        return false;
    }
    buffer_append(text, "", 0); // terminated, also when the file is empty
    return !text->failed || no_memory(ret_error);
}

static bool read_template(struct scenario *scenario, char *ret_error)
{
    const char *path = scenario->plan->template_path;
    struct buffer text CLEANUP(buffer_release) = {0};
    struct template *compiled = NULL;
    char error[HISTORY_ERROR_MAX];
    if (!read_text(path, &text, ret_error))
        return false;
    bool usable = strlen(text.data) == text.length;
    if (!usable)
        (void)text_copy(error, sizeof error, "it holds a NUL byte");
    else
        usable = template_compile(text.data, "localhost", "", "", &compiled, error);
    template_free(compiled);
    if (!usable) {
        (void)text_format(ret_error, HISTORY_ERROR_MAX, "--template: %.100s: %.390s", path, error);
        return false;
    }
    scenario->text = text.data;
    text = (struct buffer){0};
    return true;
}

// ---- names and shares

static bool name_skus(struct scenario *scenario)
{
    const struct plan *plan = scenario->plan;
    scenario->n_skus = (size_t)plan->skus;
    scenario->skus = calloc(scenario->n_skus, sizeof *scenario->skus);
    if (scenario->skus == NULL)
        return false;
    for (size_t i = 0; i < scenario->n_skus; i++) {
        char *name = scenario->skus[i];
        if (plan->resource == NULL)
            text_format(name, RESOURCE_MAX + 1, "load-%s-%zu", plan->run, i + 1);
        else if (plan->skus == 1)
            text_copy(name, RESOURCE_MAX + 1, plan->resource);
        else
            text_format(name, RESOURCE_MAX + 1, "%s-%zu", plan->resource, i + 1);
    }
    return true;
}

static void name_other(struct scenario *scenario)
{
    const struct plan *plan = scenario->plan;
    if (plan->resource != NULL)
        text_copy(scenario->other, sizeof scenario->other, plan->resource);
    else if (scenario->uses & (USES_COUPON | USES_LOTTERY))
        text_format(scenario->other, sizeof scenario->other, "load-%s-1", plan->run);
}

static bool spread_skus(struct scenario *scenario)
{
    const struct plan *plan = scenario->plan;
    if (plan->spread != SPREAD_ZIPF)
        return true;
    scenario->popularity = calloc(scenario->n_skus, sizeof *scenario->popularity);
    if (scenario->popularity == NULL)
        return false;
    double sum = 0;
    for (size_t i = 0; i < scenario->n_skus; i++) {
        sum += pow((double)(i + 1), -plan->zipf_exponent);
        scenario->popularity[i] = sum;
    }
    for (size_t i = 0; i < scenario->n_skus; i++)
        scenario->popularity[i] /= sum;
    return true;
}

static bool fill(struct scenario *scenario, char *ret_error)
{
    if ((scenario->uses & USES_TEMPLATE) && !read_template(scenario, ret_error))
        return false;
    if ((scenario->uses & USES_STOCK) && (!name_skus(scenario) || !spread_skus(scenario)))
        return no_memory(ret_error);
    name_other(scenario);
    for (size_t i = 0; i < KIND_COUNT; i++)
        scenario->mix_total += scenario->plan->mix[i];
    return true;
}

bool scenario_new(const struct plan *plan, struct scenario **ret_scenario, char *ret_error)
{
    struct scenario *scenario = calloc(1, sizeof *scenario);
    if (scenario == NULL)
        return no_memory(ret_error);
    scenario->plan = plan;
    scenario->uses = scenario_kind_uses(plan->scenario);
    if (!fill(scenario, ret_error)) {
        scenario_free(scenario);
        return false;
    }
    *ret_scenario = scenario;
    return true;
}

void scenario_free(struct scenario *scenario)
{
    if (scenario == NULL)
        return;
    free(scenario->skus);
    free(scenario->popularity);
    free(scenario->text);
    free(scenario->counters);
    free(scenario);
}
