// Tests of the pause points: which values of HOLDFAST_PAUSE are accepted, and that a worker or the
// process stops at the point, once.
#include "engine/pause_points.h"

#include "base/clock.h"

#include "suite.h"

#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const refused[] = {
    "in-commit",        "in-commit:1",   "in-commit:1:", "in-commit:0:/x",  "in-commit:-1:/x",
    "in-commit:one:/x", "in-comit:1:/x", ":1:/x",        "in-commit@:1:/x", "in-commit@cart:1:/x",
};

START_TEST(what_cannot_be_understood_is_refused)
{
    struct pause_points *points = NULL;
    char error[GUARD_ERROR_MAX] = "";
    ck_assert_int_eq(pause_points_new(refused[_i], &points, error), RC_USAGE);
    ck_assert_ptr_null(points);
    ck_assert_ptr_nonnull(strstr(error, "before-commit"));
}
END_TEST

START_TEST(nothing_asked_for_is_nothing_done)
{
    struct pause_points *points = NULL;
    char error[GUARD_ERROR_MAX];
    ck_assert_int_eq(pause_points_new(NULL, &points, error), RC_OK);
    ck_assert_int_eq(pause_points_new("", &points, error), RC_OK);
    ck_assert_ptr_null(points);
    ck_assert_ptr_null(pause_points_hooks(points).pause);
}
END_TEST

struct folder {
    char path[32], file[48], text[128];
};

static void folder_open(struct folder *folder, const char *where, const char *action)
{
    strcpy(folder->path, "/tmp/holdfast-pause-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder->path));
    snprintf(folder->file, sizeof folder->file, "%s/reached", folder->path);
    snprintf(folder->text, sizeof folder->text, "%s:%s%s", where, folder->file, action);
}

static struct engine_hooks hooks_of(const struct folder *folder, struct pause_points **points)
{
    char error[GUARD_ERROR_MAX] = "";
    ck_assert_msg(pause_points_new(folder->text, points, error) == RC_OK, "%s", error);
    return pause_points_hooks(*points);
}

static bool reached(const struct folder *folder)
{
    return access(folder->file, F_OK) == 0;
}

struct worker {
    struct engine_hooks hooks;
    atomic_bool past;
};

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    worker->hooks.pause(worker->hooks.arg,
                        &(struct paused){.point = PAUSE_BEFORE_SAVE, .endpoint = ENDPOINT_COUPON});
    worker->past = true;
    return NULL;
}

START_TEST(a_worker_waits_there_the_time_that_was_said)
{
    struct folder folder;
    struct pause_points *points;
    folder_open(&folder, "before-save@coupon:2", ":wait");
    struct engine_hooks hooks = hooks_of(&folder, &points);
    // No pause yet: another point, another endpoint twice, and the first of two times.
    hooks.pause(hooks.arg,
                &(struct paused){.point = PAUSE_BEFORE_COMMIT, .endpoint = ENDPOINT_COUPON});
    hooks.pause(hooks.arg,
                &(struct paused){.point = PAUSE_BEFORE_SAVE, .endpoint = ENDPOINT_STOCK});
    hooks.pause(hooks.arg,
                &(struct paused){.point = PAUSE_BEFORE_SAVE, .endpoint = ENDPOINT_STOCK});
    hooks.pause(hooks.arg,
                &(struct paused){.point = PAUSE_BEFORE_SAVE, .endpoint = ENDPOINT_COUPON});
    ck_assert(!reached(&folder));
    struct worker worker = {.hooks = hooks};
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, worker_main, &worker), 0);
    while (!reached(&folder))
        clock_sleep_ns(NS_PER_MS);
    clock_sleep_ns(30 * NS_PER_MS);
    ck_assert(!worker.past);
    ck_assert_int_eq(unlink(folder.file), 0);
    pthread_join(thread, NULL);
    ck_assert(worker.past);
    hooks.pause(hooks.arg, &(struct paused){.point = PAUSE_BEFORE_SAVE,
                                            .endpoint = ENDPOINT_COUPON}); // triggers once only
    ck_assert(!reached(&folder));
    pause_points_free(points);
    ck_assert_int_eq(rmdir(folder.path), 0);
}
END_TEST

START_TEST(the_process_stops_there)
{
    struct folder folder;
    struct pause_points *points;
    folder_open(&folder, "in-commit:1", _i == 0 ? "" : ":stop");
    struct engine_hooks hooks = hooks_of(&folder, &points);
    pid_t child = fork();
    if (child == 0) {
        hooks.pause(hooks.arg,
                    &(struct paused){.point = PAUSE_IN_COMMIT, .endpoint = ENDPOINT_LOTTERY});
        _exit(7);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, WUNTRACED), child);
    ck_assert(WIFSTOPPED(status));
    ck_assert(reached(&folder));
    ck_assert_int_eq(kill(child, SIGCONT), 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    pause_points_free(points);
    unlink(folder.file);
    ck_assert_int_eq(rmdir(folder.path), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pause points");
    TCase *tests = tcase_create("pause points");
    tcase_set_timeout(tests, 20);
    tcase_add_loop_test(tests, what_cannot_be_understood_is_refused, 0, (int)ARRAY_LENGTH(refused));
    tcase_add_test(tests, nothing_asked_for_is_nothing_done);
    tcase_add_test(tests, a_worker_waits_there_the_time_that_was_said);
    tcase_add_loop_test(tests, the_process_stops_there, 0, 2);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
