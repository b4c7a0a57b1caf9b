/* host.c - programs that embed hosts, for host_spec.lua: `host MODE DIRECTORY SCRIPT`. Each says what came of it.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "dahost.h"

static const char *const words[] = {"unknown", "pending", "resolved", "rejected", "canceled", "timedout"};
static char why[512];

static dahost *open_host(const dahost_options *options)
{
  dahost *host = dahost_open(options, why, sizeof why);
  if (host != NULL) return host;
  (void)printf("cannot be opened: %s\n", why);
  exit(1);
}

static dahost *open_at(const char *directory, const char *script)
{
  const dahost_options options = {.size = sizeof options, .directory = directory, .step_threads = 2};
  dahost *host = open_host(&options);
  if (script != NULL && !dahost_load(host, script)) {
    (void)printf("cannot be loaded: %s\n", dahost_error(host));
    exit(1);
  }
  return host;
}

static void start(dahost *host, const char *id, const char *function, const char *args)
{
  if (dahost_start(host, id, function, args)) return;
  (void)printf("cannot be started: %s\n", dahost_error(host));
  exit(1);
}

static void tell(dahost *host, const char *id, int timeout_ms)
{
  dahost_state state = dahost_wait(host, id, timeout_ms);
  (void)printf("%s %s %s\n", id, words[state], state == DAHOST_UNKNOWN ? dahost_error(host) : dahost_result(host));
}

/* ---- modes ---------------------------------------------------------------------------------------------- */

/* Two at a time, one of them in memory; both have an execution of the same id. */
static void several(const char *directory, const char *script)
{
  dahost *a = open_at(directory, script), *b = open_at(NULL, script);
  start(a, "x", "adds", "[20, 22]");
  start(b, "x", "adds", "[1, 2]");
  tell(b, "x", -1);
  tell(a, "x", -1);
  dahost_close(a);
  start(b, "y", "adds", "[3, 4]");
  tell(b, "y", -1);
  dahost_close(b);
}

static uv_loop_t *loop;
static int ticks, left = 2;
static bool host_gone;

static void on_tick(uv_timer_t *timer)
{
  ticks++;
  if (host_gone) uv_close((uv_handle_t *)timer, NULL);
}

static void on_settled(void *user, const char *id, dahost_state state, const char *json)
{
  dahost *host = user;
  (void)printf("%s %s %s\n", id, words[state], json);
  if (strcmp(id, "x") == 0) { /* from within: the next one */
    start(host, "y", "adds", "[5, 6]");
    dahost_on_settled(host, "y", on_settled, host);
  }
  if (--left == 0) uv_stop(loop);
}

/* On the loop of the program, beside a timer of its own, which goes on when the host is closed. */
static void own_loop(const char *directory, const char *script)
{
  uv_loop_t mine;
  uv_timer_t timer;
  (void)uv_loop_init(&mine);
  loop = &mine;
  (void)uv_timer_init(&mine, &timer);
  (void)uv_timer_start(&timer, on_tick, 1, 1);
  const dahost_options options = {.size = sizeof options, .directory = directory, .loop = &mine};
  dahost *host = open_host(&options);
  if (!dahost_load(host, script)) exit(1);
  start(host, "x", "adds", "[1, 1]");
  dahost_on_settled(host, "x", on_settled, host);
  (void)uv_run(&mine, UV_RUN_DEFAULT);
  tell(host, "y", 0);
  dahost_close(host);
  int before = ticks;
  host_gone = true;
  (void)uv_run(&mine, UV_RUN_DEFAULT);
  (void)printf("the loop is whole: %d, %d\n", ticks > before, uv_loop_close(&mine));
}

/* By a file descriptor, as one of others. */
static void polled(const char *directory, const char *script)
{
  dahost *host = open_at(directory, script);
  left = 1;
  loop = NULL;
  start(host, "x", "sleeps", "[]");
  struct pollfd fd = {.fd = dahost_fd(host), .events = POLLIN};
  int polls = 0;
  for (dahost_state state = DAHOST_PENDING; state == DAHOST_PENDING && polls < 10000; polls++) {
    (void)poll(&fd, 1, dahost_timeout(host));
    dahost_turn(host, false);
    state = dahost_wait(host, "x", 0);
  }
  tell(host, "x", 0);
  (void)printf("not busy: %d\n", polls < 1000);
  dahost_close(host);
}

/* Closed with an execution that waits and one whose step runs; opened again, both go on. */
static void again(const char *directory, const char *script)
{
  dahost *host = open_at(directory, script);
  start(host, "w", "waits", "[]");
  start(host, "s", "steps", "[]");
  tell(host, "w", 100);
  dahost_close(host);
  host = open_at(directory, NULL); /* their code is in the store */
  tell(host, "s", -1);
  if (!dahost_settle(host, "w:answer.1", true, "{\"n\":42}")) exit(1);
  tell(host, "w", -1);
  start(host = (dahost_close(host), open_at(directory, script)), "c", "waits", "[]");
  tell(host, "c", 50);
  dahost_cancel(host, "c", "no more");
  tell(host, "c", -1);
  dahost_close(host);
}

static void errors(const char *directory, const char *script)
{
  dahost *host = open_at(directory, script);
  const dahost_options same = {.size = sizeof same, .directory = directory};
  if (dahost_open(&same, why, sizeof why) == NULL) (void)printf("%s\n", why);
  const dahost_options old = {.size = 1};
  if (dahost_open(&old, why, sizeof why) == NULL) (void)printf("%s\n", why);
  if (!dahost_load(host, "/nowhere.lua")) (void)printf("%s\n", dahost_error(host));
  if (!dahost_start(host, "x", "nothing", "[]")) (void)printf("%s\n", dahost_error(host));
  if (!dahost_start(host, "x", "adds", "[1,")) (void)printf("%s\n", dahost_error(host));
  if (!dahost_start(host, "x", "adds", "{}")) (void)printf("%s\n", dahost_error(host));
  if (!dahost_start(host, "a:b", "adds", "[]")) (void)printf("%s\n", dahost_error(host));
  if (!dahost_start(host, "", "adds", "[]")) (void)printf("%s\n", dahost_error(host));
  if (!dahost_settle(host, "x", true, "no JSON")) (void)printf("%s\n", dahost_error(host));
  tell(host, "nobody", -1);
  start(host, "f", "fails", "[]");
  tell(host, "f", -1);
  dahost_close(host);
}

static int count_threads(void)
{
  int count = 0;
  DIR *tasks = opendir("/proc/self/task");
  for (const struct dirent *entry; tasks != NULL && (entry = readdir(tasks)) != NULL;) count += entry->d_name[0] != '.';
  if (tasks != NULL) (void)closedir(tasks);
  return count;
}

/* What the process has of its own stays: dispositions, mask, threads. */
static void guest(const char *directory, const char *script)
{
  static struct sigaction before[65], now;
  sigset_t mask_before, mask_now;
  int changed = 0, threads = count_threads();
  for (int i = 1; i < 65; i++) (void)sigaction(i, NULL, &before[i]);
  (void)sigprocmask(SIG_SETMASK, NULL, &mask_before);
  dahost *host = open_at(directory, script);
  start(host, "x", "adds", "[1, 2]");
  tell(host, "x", -1);
  (void)printf("threads: %d\n", count_threads() - threads);
  dahost_close(host);
  for (int i = 1; i < 65; i++)
    if (sigaction(i, NULL, &now) == 0) changed += now.sa_handler != before[i].sa_handler;
  (void)sigprocmask(SIG_SETMASK, NULL, &mask_now);
  (void)printf("changed: %d, %d; threads left: %d\n", changed, memcmp(&mask_before, &mask_now, sizeof(long)) != 0,
               count_threads() - threads);
}

/* ---- with natives, and what is said --------------------------------------------------------------------- */

static void doubles(dahost_call *call, void *user)
{
  int64_t n;
  if (!dahost_arg_integer(call, 1, &n)) return;
  ++*(int *)user;
  dahost_return_integer(call, 2 * n);
}

static int doubled, closed;

static int open_library(dahost_library *library, void **user, char *text, size_t size)
{
  (void)text, (void)size;
  *user = &closed;
  return dahost_add(library, "double", DAHOST_POOL, doubles, &doubled) ? 0 : -1;
}

static void close_library(void *user)
{
  ++*(int *)user;
}

static const dahost_library_info info = {DAHOST_ABI, sizeof info, "program", open_library, close_library};

static void on_output(void *user, const char *id, const char *line)
{
  (void)printf("%s%s: %s\n", (const char *)user, id, line);
}

static void on_log(void *user, dahost_log_level level, const char *line)
{
  const char *text = strstr(line, " text=");
  if (level == DAHOST_ERROR) (void)printf("%s%.*s\n", (const char *)user, text != NULL ? (int)(text - line) : 0, line);
}

static char told[] = "told ", logged[] = "logged ";

static void natives(const char *directory, const char *script)
{
  const dahost_library_info *const libraries[] = {&info, NULL};
  const dahost_options options = {
      .size = sizeof options, .directory = directory, .libraries = libraries, .output = on_output, .user = told};
  dahost_log(DAHOST_WARN, on_log, logged);
  dahost *host = open_host(&options);
  if (!dahost_load(host, script)) exit(1);
  start(host, "x", "calls", "[21]");
  tell(host, "x", -1);
  start(host, "m", "calls_missing", "[]");
  tell(host, "m", 100);
  dahost_close(host);
  (void)printf("called %d, closed %d\n", doubled, closed);
}

static void on_image(void *user, dahost_log_level level, const char *line)
{
  const char *image = strstr(line, "image.");
  (void)user;
  (void)level;
  if (image != NULL) (void)printf("%.*s\n", (int)strcspn(image, " "), image);
}

/* Nothing is kept in memory over an await: what waits goes on from its image, in this host and the next. */
static void restored(const char *directory, const char *script)
{
  const dahost_options options = {.size = sizeof options, .directory = directory, .warm_bytes = -1};
  dahost_log(DAHOST_DEBUG, on_image, NULL);
  dahost *host = open_host(&options);
  if (!dahost_load(host, script)) exit(1);
  start(host, "l", "long", "[60]");
  tell(host, "l", 500);
  if (!dahost_settle(host, "l:first.1", true, "1")) exit(1);
  tell(host, "l", 500);
  dahost_close(host);
  host = open_host(&options);
  if (!dahost_settle(host, "l:second.1", true, "2")) exit(1);
  tell(host, "l", -1);
  dahost_close(host);
}

int main(int argc, char **argv)
{
  static const struct {
    const char *name;
    void (*fn)(const char *directory, const char *script);
  } modes[] = {{"several", several}, {"loop", own_loop}, {"poll", polled},     {"again", again},
               {"errors", errors},   {"guest", guest},   {"natives", natives}, {"restored", restored}};
  (void)setvbuf(stdout, NULL, _IOLBF, 0);
  for (size_t i = 0; argc == 4 && i < sizeof modes / sizeof *modes; i++) {
    if (strcmp(modes[i].name, argv[1]) != 0) continue;
    modes[i].fn(argv[2], argv[3]);
    return 0;
  }
  return 2;
}
