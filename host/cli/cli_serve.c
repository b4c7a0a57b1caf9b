/* cli_serve.c - serve: this process holds the store, runs its executions and answers other processes until it is told
 * to end.
 *
 * Life: files are read and loaded, then the store's executions taken over; SIGHUP reads the files again. SIGINT or
 * SIGTERM stops the loop and ends the process without waiting for anything; a second one, or a loop that does not stop
 * within a second, does the same from the signal handler. What was told is flushed.
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "../base/id.h"
#include "../base/log.h"
#include "../sched/kill.h"
#include "cli.h"
#include "event.h"
#include "reach.h"
#include "text.h"
#include "value.h"

enum { BUSY_MS = 3000, RETRY_MS = 20 };

/* One operand. */
typedef struct source {
  const char *path;
  da_bundle *bundle; /* what is served of it */
} source;

typedef struct server {
  const cli_command *command;
  char *place;
  cli_host *host;
  source *sources;
  size_t count;
  da_buf early; /* what scripts print while they load: the first line says that all is ready */
  bool ready;
  uv_signal_t hangup;
} server;

/* ---- what it says -------------------------------------------------------------------------------------- */

static void print_output(da_slice text)
{
  da_buf line = {0};
  if (isatty(STDERR_FILENO))
    cli_clean_output(&line, text);
  else
    da_buf_add_slice(&line, text);
  da_buf_add_byte(&line, '\n');
  for (size_t done = 0; done < line.len;) {
    ssize_t n = write(STDERR_FILENO, line.ptr + done, line.len - done);
    if (n <= 0) break;
    done += (size_t)n;
  }
  da_buf_free(&line);
}

static void hear_output(server *s, da_slice text)
{
  if (s->ready) {
    print_output(text);
    return;
  }
  if (s->early.len > 0) da_buf_add_byte(&s->early, '\n');
  da_buf_add_slice(&s->early, text);
}

static void say_attempt(const server *s, const da_event *event)
{
  da_buf words = {0};
  da_buf code = {0};
  cli_value_error_text(event->text, &words, &code);
  da_slice line = da_buf_slice(&words);
  ptrdiff_t end = da_slice_find(line, '\n');
  if (end >= 0) line.len = (size_t)end;
  cli_note(s->command, "%.*s attempt %d failed: %.*s", DA_FMT(event->child), event->attempt, DA_FMT(line));
  da_buf_free(&words);
  da_buf_free(&code);
}

static void hear_event(void *user, const da_event *event)
{
  server *s = user;
  switch (event->kind) {
  case DA_EVENT_OUTPUT:
    hear_output(s, event->text);
    break;
  case DA_EVENT_PARKED:
    (void)cli_fail(0, "%.*s parked: %.*s", DA_FMT(event->execution), DA_FMT(event->text));
    break;
  case DA_EVENT_COMPLETED:
    if (da_id_rest(event->execution).len > 0) break; /* its parent tells */
    cli_note(s->command, "%.*s %s", DA_FMT(event->execution), cli_state_name(event->state));
    break;
  case DA_EVENT_ATTEMPT:
    say_attempt(s, event);
    break;
  case DA_EVENT_STARTED:
  case DA_EVENT_RESTARTED:
  case DA_EVENT_AGAIN:
  case DA_EVENT_RESUMED:
  case DA_EVENT_CALLED:
  case DA_EVENT_REPLAYED:
  case DA_EVENT_SETTLED:
  case DA_EVENT_SUSPENDED:
    break;
  }
}

/* "bar, foo, step.charge (order.lua)" */
static void list_functions(const server *s, const source *from, da_buf *out)
{
  size_t count;
  const da_function *functions = da_worker_functions(cli_host_service(s->host)->worker, from->bundle, &count);
  for (size_t i = 0; i < count; i++)
    da_buf_addf(out, "%s%s%.*s", i > 0 ? ", " : "", functions[i].workflow ? "" : "step.", DA_FMT(functions[i].name));
  da_buf_addf(out, "%s(%.*s)", count > 0 ? " " : "nothing ", DA_FMT(from->bundle->modules[0].file));
}

static void say_ready(const server *s)
{
  da_buf words = {0};
  for (size_t i = 0; i < s->count; i++) {
    da_buf_addf(&words, "%s", i > 0 ? "; " : ": ");
    list_functions(s, &s->sources[i], &words);
  }
  cli_note(s->command, "serving %s%.*s", s->place, DA_FMT(da_buf_slice(&words)));
  da_buf_free(&words);
}

/* ---- its files ----------------------------------------------------------------------------------------- */

/* Reads and loads the file. On failure what was served of it still is. */
static da_status load_source(const server *s, source *from, da_err *err)
{
  da_bundle *bundle = NULL;
  da_status status = da_bundle_read(from->path, &bundle, err);
  if (status == DA_OK) status = da_worker_serve(cli_host_service(s->host)->worker, bundle, err);
  if (status != DA_OK) {
    da_bundle_unref(bundle);
    return status;
  }
  da_bundle_unref(from->bundle);
  from->bundle = bundle;
  return DA_OK;
}

static bool load_all(server *s)
{
  for (size_t i = 0; i < s->count; i++) {
    da_err err = {{0}};
    s->sources[i].path = s->command->operands[i];
    if (load_source(s, &s->sources[i], &err) == DA_OK) continue;
    if (s->early.len > 0) print_output(da_buf_slice(&s->early));
    (void)cli_fail(CLI_EXIT_USAGE, "%s", err.text);
    return false;
  }
  return true;
}

static void reload(server *s, source *from)
{
  da_err err = {{0}};
  da_digest before = from->bundle->hash;
  if (load_source(s, from, &err) != DA_OK) {
    (void)cli_fail(0, "%s stays as it was: %s", from->path, err.text);
    return;
  }
  if (da_digest_eq(&before, &from->bundle->hash)) {
    cli_note(s->command, "%s has not changed", from->path);
    return;
  }
  da_buf words = {0};
  list_functions(s, from, &words);
  cli_note(s->command, "%s was loaded again: %.*s", from->path, DA_FMT(da_buf_slice(&words)));
  da_buf_free(&words);
}

static void on_hangup(uv_signal_t *signal, int number)
{
  server *s = signal->data;
  (void)number;
  for (size_t i = 0; i < s->count; i++) reload(s, &s->sources[i]);
  if (s->count == 0) cli_note(s->command, "no file is served: nothing to load again");
}

/* ---- its end ------------------------------------------------------------------------------------------- */

static cli_host *volatile running;
static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
  cli_host *host = running;
  if (number == SIGALRM || interrupted || host == NULL) _exit(CLI_EXIT_OK);
  interrupted = 1;
  (void)alarm(1);
  cli_host_stop(host);
}

static void watch_signals(server *s)
{
  struct sigaction action = {.sa_handler = on_interrupt};
  (void)sigemptyset(&action.sa_mask);
  (void)sigaction(SIGINT, &action, NULL);
  (void)sigaction(SIGTERM, &action, NULL);
  (void)sigaction(SIGALRM, &action, NULL);
  (void)uv_signal_init(cli_host_loop(s->host), &s->hangup);
  s->hangup.data = s;
  (void)uv_signal_start(&s->hangup, on_hangup, SIGHUP);
}

/* ---- its life ------------------------------------------------------------------------------------------ */

static void on_ready(void *user)
{
  server *s = user;
  s->ready = true;
  say_ready(s);
  if (s->early.len > 0) print_output(da_buf_slice(&s->early));
  da_buf_free(&s->early);
}

/* A tool has the store for a moment; whoever has it longer is named. */
static da_status open_store(const server *s, da_store **store, da_err *err)
{
  const da_store_options options = {.create = true};
  const struct timespec pause = {.tv_nsec = RETRY_MS * 1000000L};
  for (int waited = 0;; waited += RETRY_MS) {
    da_status status = da_store_open(s->place, &options, store, err);
    if (status != DA_EBUSY || waited >= BUSY_MS) return status;
    if (waited == 1000) cli_note(s->command, "waiting: %s", err->text);
    (void)nanosleep(&pause, NULL);
  }
}

static int serve(server *s, cli_host_options *options)
{
  da_err err = {{0}};
  da_status status = open_store(s, &options->store, &err);
  if (status == DA_EBUSY)
    return cli_fail(CLI_EXIT_FAILED, "%s; a store has one holder: end that process, or name another --data", err.text);
  if (status == DA_OK) {
    options->place = s->place;
    status = cli_host_open(options, &s->host, &err);
  }
  if (status != DA_OK) return cli_fail(CLI_EXIT_FAILED, "%s", err.text);
  cli_service *service = cli_host_service(s->host);
  service->watch = hear_event;
  service->watch_user = s;
  running = s->host;
  watch_signals(s);
  if (!load_all(s)) {
    cli_host_stop(s->host);
    _exit(CLI_EXIT_USAGE); /* nothing was written that another life would miss */
  }
  cli_host_run(s->host, on_ready, s);
  cli_host_close(s->host);
  cli_note(s->command, "stopped; what is not finished goes on with the next dahost serve");
  _exit(CLI_EXIT_OK);
}

int cli_serve(const cli_command *command)
{
  const char *fault = da_kill_setup();
  if (fault != NULL) return cli_fail(CLI_EXIT_USAGE, "%s", fault);
  cli_host_options options = {.worker = true, .drive = true, .serve = true};
  if (!cli_read_sizes(command, &options)) return CLI_EXIT_USAGE;
  server s = {.command = command, .place = cli_store_place(command), .count = command->operand_count};
  s.sources = da_xcalloc(s.count + 1, sizeof *s.sources);
  if (getenv("DAHOST_LOG") == NULL) da_log_set_level(DA_LOG_ERROR); /* what the log would warn of is said anyway */
  int code = serve(&s, &options);
  free(s.sources);
  free(s.place);
  return code;
}
