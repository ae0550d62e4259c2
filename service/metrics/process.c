// Metrics of the process, read from the kernel, under the names that Prometheus's client libraries
// agree on. A metric that cannot be read is left out.
//
// /proc is read by metrics_sample_process only, now and then: counting thousands of descriptors
// takes milliseconds, and an HTTP thread must not spend them at each scrape.
#include "metrics/metrics_internal.h"

#include "base/text.h"
#include "base/version.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void value(struct buffer *out, const char *name, const char *type, const char *help,
                  double number)
{
    buffer_format(out, "# HELP %s %s\n# TYPE %s %s\n%s %.15g\n", name, help, name, type, name,
                  number);
}

static void render_memory(struct buffer *out)
{
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return;
    long long total, resident;
    if (fscanf(file, "%lld %lld", &total, &resident) == 2) {
        double page = (double)sysconf(_SC_PAGESIZE);
        value(out, "process_virtual_memory_bytes", "gauge", "Address space", (double)total * page);
        value(out, "process_resident_memory_bytes", "gauge", "Memory in use",
              (double)resident * page);
    }
    (void)fclose(file);
}

static void render_cpu(struct buffer *out)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return;
    double seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                     (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    value(out, "process_cpu_seconds_total", "counter", "Processor time, user and system", seconds);
}

static void render_files(struct buffer *out)
{
    DIR *directory = opendir("/proc/self/fd");
    if (directory) {
        int64_t n = -1; // the directory's own descriptor
        for (struct dirent *entry; (entry = readdir(directory));)
            n += entry->d_name[0] != '.';
        (void)closedir(directory);
        value(out, "process_open_fds", "gauge", "Open file descriptors", (double)n);
    }
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        value(out, "process_max_fds", "gauge", "Limit of open file descriptors",
              (double)limit.rlim_cur);
}

// The time of boot, in whole seconds since 1970; 0 if it cannot be read.
static long long read_boot_time(void)
{
    long long seconds = 0;
    FILE *file = fopen("/proc/stat", "re");
    if (!file)
        return 0;
    char line[256]; // a longer line is read in parts; no later part begins with "btime"
    while (fgets(line, sizeof(line), file))
        if (sscanf(line, "btime %lld", &seconds) == 1)
            break;
    (void)fclose(file);
    return seconds;
}

// The 22nd field of /proc/self/stat is the start in ticks since boot. It is added to the boot time,
// which is constant. A sum with the current time would differ a little at each scrape, and an alert
// on its changes would report restarts that never happened.
static void render_start(struct buffer *out)
{
    FILE *file = fopen("/proc/self/stat", "re");
    if (!file)
        return;
    char line[1024];
    const char *field = fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
    for (int i = 2; field && i < 22; i++)
        field = strchr(field + 1, ' ');
    long long ticks, boot = read_boot_time();
    if (field && boot && sscanf(field, " %lld", &ticks) == 1)
        value(out, "process_start_time_seconds", "gauge",
              "Start of the process, in seconds since 1970",
              (double)boot + (double)ticks / (double)sysconf(_SC_CLK_TCK));
    (void)fclose(file);
}

void metrics_sample_process(struct metrics *metrics)
{
    struct buffer sample = {0};
    render_memory(&sample);
    render_files(&sample);
    render_start(&sample);
    pthread_mutex_lock(&metrics->process_lock);
    struct buffer old = metrics->process;
    metrics->process = sample;
    pthread_mutex_unlock(&metrics->process_lock);
    buffer_release(&old);
}

void metrics_render_process(struct metrics *metrics, struct buffer *out)
{
    pthread_mutex_lock(&metrics->process_lock);
    buffer_append(out, metrics->process.data, metrics->process.length);
    pthread_mutex_unlock(&metrics->process_lock);
    render_cpu(out);
    buffer_append_text(out, "# HELP holdfast_build_info Version and compiler; always 1\n"
                            "# TYPE holdfast_build_info gauge\n");
    buffer_format(out, "holdfast_build_info{version=\"%s\",compiler=\"%s\"} 1\n", HOLDFAST_VERSION,
                  HOLDFAST_COMPILER);
}
