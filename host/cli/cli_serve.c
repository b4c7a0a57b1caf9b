/* cli_serve.c - serve: this process holds the store, runs its executions and answers other processes until it is told
 * to end.
 *
 * Life: files are read and loaded, the listeners opened, then the store's executions taken over; SIGHUP reads the files
 * again. SIGINT or SIGTERM ends the server (streams, then requests under way, within --shutdown-timeout), then the
 * process, without waiting for executions; a second one, or a loop that does not hear of it within a second, does so at
 * once from the signal handler. What was told is flushed.
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
#include "../base/limits.h"
#include "../base/log.h"
#include "../sched/kill.h"
#include "cli.h"
#include "config.h"
#include "event.h"
#include "reach.h"
#include "serve_net.h"
#include "systemd.h"
#include "text.h"
#include "value.h"

#define ADDRESS "poll://any@" /* and the group */

enum { BUSY_MS = 3000, RETRY_MS = 20 };

/* One operand. */
typedef struct source {
  const char *path;
  size_t group;      /* among the server's targets */
  da_bundle *bundle; /* what is served of it */
} source;

typedef struct server {
  const cli_command *command;
  char *place;
  cli_host *host;
  source *sources;
  size_t count;
  da_slice *targets; /* addresses of the groups, the default one first */
  size_t target_count;
  da_buf early; /* what scripts print while they load: the first line says that all is ready */
  bool ready;
  da_buf told; /* what is said once */
  cli_net *net;
  uv_signal_t hangup;
  uv_async_t ending;
} server;

/* ---- what it says -------------------------------------------------------------------------------------- */

static void print_output(da_slice text)
{
  da_buf line = {0};
  if (da_log_get_format() == DA_LOG_JSON) {
    da_log_line object;
    da_log_begin(&object, DA_LOG_INFO, "output");
    da_log_add(&object, "text", text);
    da_log_end(&object);
    return;
  }
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
  cli_net_count(s->net, event);
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
  case DA_EVENT_UNSERVED:
    if (cli_first_time(&s->told, event->func))
      (void)cli_fail(0, "%.*s: %.*s", DA_FMT(event->execution), DA_FMT(event->text));
    break;
  case DA_EVENT_STARTED:
  case DA_EVENT_RESTARTED:
  case DA_EVENT_AGAIN:
  case DA_EVENT_RESUMED:
  case DA_EVENT_CALLED:
  case DA_EVENT_REPLAYED:
  case DA_EVENT_PROGRESS:
  case DA_EVENT_SETTLED:
  case DA_EVENT_SUSPENDED:
    break;
  }
}

static da_slice group_name(const server *s, size_t group)
{
  return da_slice_make(s->targets[group].ptr + strlen(ADDRESS), s->targets[group].len - strlen(ADDRESS));
}

static const da_function *functions_of(const server *s, const source *from, size_t *count)
{
  return da_worker_functions(cli_host_service(s->host)->worker, from->bundle, count);
}

/* "gpu: encode, split, step.cut (render_gpu.lua)" */
static void list_functions(const server *s, const source *from, da_buf *out)
{
  size_t count;
  const da_function *functions = functions_of(s, from, &count);
  if (from->group > 0) da_buf_addf(out, "%.*s: ", DA_FMT(group_name(s, from->group)));
  for (size_t i = 0; i < count; i++) {
    const da_function *f = &functions[i];
    da_buf_addf(out, "%s%s%.*s", i > 0 ? ", " : "", f->workflow ? "" : "step.", DA_FMT(f->name));
    if (f->version != 1) da_buf_addf(out, " version %lld", (long long)f->version);
  }
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

/* GROUP=FILE, or FILE for the default group. */
static bool read_operand(server *s, const char *operand, source *out, da_err *err)
{
  const char *equals = strchr(operand, '=');
  const char *slash = strchr(operand, '/');
  *out = (source){.path = operand};
  if (equals == NULL || (slash != NULL && slash < equals)) return true;
  da_slice name = da_slice_make(operand, (size_t)(equals - operand));
  out->path = equals + 1;
  for (size_t i = 0; i < name.len; i++) {
    char c = name.ptr[i];
    bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
    if (!plain) name.len = 0;
  }
  if (name.len == 0 || *out->path == '\0') {
    (void)da_fail(
        err, DA_EINVAL,
        "'%s': GROUP=FILE wants a group of letters, digits, '_', '-' and '.', and a file (a file with '=' in its "
        "name: ./%s)",
        operand, operand);
    return false;
  }
  while (out->group < s->target_count && !da_slice_eq(group_name(s, out->group), name)) out->group++;
  if (out->group < s->target_count) return true;
  if (s->target_count == DA_GROUPS_MAX) {
    (void)da_fail(err, DA_EINVAL, "more than %d groups", DA_GROUPS_MAX);
    return false;
  }
  da_buf address = {0};
  da_buf_addf(&address, ADDRESS "%.*s", DA_FMT(name));
  s->targets[s->target_count++] = da_buf_slice(&address); /* kept as long as the process */
  return true;
}

/* A workflow that another file of the group defines as well, or NULL: a call by name could mean either. */
static const da_function *find_twin(const server *s, const source *from, const source **with)
{
  size_t count, other_count;
  const da_function *functions = functions_of(s, from, &count);
  for (const source *other = s->sources; other < from; other++) {
    const da_function *others = functions_of(s, other, &other_count);
    *with = other;
    if (other->group != from->group) continue;
    for (size_t i = 0; i < count; i++)
      for (size_t k = 0; k < other_count; k++)
        if (functions[i].workflow && others[k].workflow && da_slice_eq(functions[i].name, others[k].name))
          return &functions[i];
  }
  return NULL;
}

/* A schedule that a file before it declares as well, or NULL. */
static const da_declared *find_rival(const server *s, const source *from, const source **with)
{
  size_t count, other_count;
  da_worker *worker = cli_host_service(s->host)->worker;
  const da_declared *own = da_worker_declared(worker, from->bundle, &count);
  for (const source *other = s->sources; other < from; other++) {
    const da_declared *others = da_worker_declared(worker, other->bundle, &other_count);
    *with = other;
    for (size_t i = 0; i < count; i++)
      for (size_t k = 0; k < other_count; k++)
        if (da_slice_eq(own[i].id, others[k].id)) return &own[i];
  }
  return NULL;
}

/* Steps look for modules beside the script, wherever the process goes. */
static void settle_directory(da_bundle *bundle)
{
  char *whole = realpath(bundle->directory, NULL);
  if (whole == NULL) return;
  free(bundle->directory);
  bundle->directory = whole;
}

/* Reads and loads the file. On failure what was served of it still is. */
static da_status load_source(const server *s, source *from, da_err *err)
{
  da_bundle *bundle = NULL;
  da_status status = da_bundle_read(from->path, &bundle, err);
  if (status == DA_OK) {
    settle_directory(bundle);
    status = da_worker_serve_in(cli_host_service(s->host)->worker, from->group, bundle, err);
  }
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
    source *from = &s->sources[i];
    const source *other;
    const da_function *twin = NULL;
    const da_declared *rival = NULL;
    da_status status = load_source(s, from, &err);
    if (status == DA_OK) twin = find_twin(s, from, &other);
    if (status == DA_OK && twin == NULL) rival = find_rival(s, from, &other);
    if (rival != NULL)
      status = da_fail(&err, DA_EINVAL, "%s and %s:%d both declare schedule '%.*s'; give one another id", other->path,
                       from->path, rival->line, DA_FMT(rival->id));
    if (twin != NULL)
      status = da_fail(&err, DA_EINVAL,
                       "%s and %s both define workflow '%.*s' for group '%.*s'; give one another name, "
                       "or another group (GROUP=FILE)",
                       other->path, from->path, DA_FMT(twin->name), DA_FMT(group_name(s, from->group)));
    if (status == DA_OK) continue;
    if (s->early.len > 0) print_output(da_buf_slice(&s->early));
    (void)cli_fail(CLI_EXIT_USAGE, "%s", err.text);
    return false;
  }
  return true;
}

static void hear_schedule(void *user, da_slice id, const da_schedule *schedule, bool changed, const da_err *err)
{
  const server *s = user;
  char next[40];
  if (schedule == NULL) {
    (void)cli_fail(0, "schedule %.*s could not be declared: %s", DA_FMT(id), err->text);
  } else if (changed) {
    cli_time_text(schedule->next_run_at, next);
    cli_note(s->command, "schedule %.*s (%.*s%s%.*s) runs next at %s", DA_FMT(id), DA_FMT(schedule->cron),
             schedule->zone.len > 0 ? ", " : "", DA_FMT(schedule->zone), next);
  }
}

static void declare(server *s, const source *from)
{
  const source *with;
  const da_declared *rival = find_rival(s, from, &with);
  if (rival != NULL) {
    (void)cli_fail(0, "schedule %.*s is declared by %s already; those of %s are not taken", DA_FMT(rival->id),
                   with->path, from->path);
    return;
  }
  da_worker_declare(cli_host_service(s->host)->worker, from->group, from->bundle, hear_schedule, s);
}

static void reload(server *s, source *from)
{
  da_err err = {{0}};
  da_digest before = from->bundle->hash;
  if (load_source(s, from, &err) != DA_OK) {
    (void)cli_fail(0, "%s stays as it was: %s", from->path, err.text);
    return;
  }
  declare(s, from); /* unchanged too: the rules of a zone may be others, a disk no longer full */
  if (da_digest_eq(&before, &from->bundle->hash)) {
    cli_note(s->command, "%s has not changed", from->path);
    return;
  }
  da_buf words = {0};
  list_functions(s, from, &words);
  cli_note(s->command, "%s was loaded again: %.*s", from->path, DA_FMT(da_buf_slice(&words)));
  da_buf_free(&words);
}

/* Once all are loaded: a function may have moved from one file to another. */
static void tell_twins(const server *s)
{
  for (size_t i = 0; i < s->count; i++) {
    const source *other;
    const source *from = &s->sources[i];
    const da_function *twin = find_twin(s, from, &other);
    if (twin != NULL)
      (void)cli_fail(0, "%s and %s both define workflow '%.*s' for group '%.*s'; a call by name takes the newer one",
                     other->path, from->path, DA_FMT(twin->name), DA_FMT(group_name(s, from->group)));
  }
}

static void on_hangup(uv_signal_t *signal, int number)
{
  server *s = signal->data;
  (void)number;
  cli_systemd_reloading();
  for (size_t i = 0; i < s->count; i++) reload(s, &s->sources[i]);
  tell_twins(s);
  if (!cli_net_reload(s->net) && s->count == 0) cli_note(s->command, "no file is served: nothing to load again");
  cli_systemd_notify("READY=1");
}

/* ---- its end ------------------------------------------------------------------------------------------- */

static server *volatile running;
static volatile sig_atomic_t interrupted;

/* The handler's: a loop that is stuck in a script hears of nothing. */
static void on_interrupt(int number)
{
  server *s = running;
  if (number == SIGALRM || interrupted || s == NULL) {
    if (s != NULL) cli_host_stop(s->host); /* the store is told that this is no crash */
    _exit(CLI_EXIT_OK);
  }
  interrupted = 1;
  (void)alarm(1);
  (void)uv_async_send(&s->ending);
}

static void on_stopped(void *user)
{
  const server *s = user;
  (void)alarm(1);
  cli_host_stop(s->host);
}

static void on_ending(uv_async_t *ending)
{
  server *s = ending->data;
  cli_systemd_notify("STOPPING=1");
  (void)alarm((unsigned)(cli_net_stop_ms(s->net) / 1000) + 2);
  cli_net_stop(s->net, on_stopped, s);
}

static void watch_signals(server *s)
{
  struct sigaction action = {.sa_handler = on_interrupt};
  (void)uv_async_init(cli_host_loop(s->host), &s->ending, on_ending);
  s->ending.data = s;
  running = s;
  (void)sigemptyset(&action.sa_mask);
  (void)sigaction(SIGINT, &action, NULL);
  (void)sigaction(SIGTERM, &action, NULL);
  (void)sigaction(SIGALRM, &action, NULL);
  (void)uv_signal_init(cli_host_loop(s->host), &s->hangup);
  s->hangup.data = s;
  (void)uv_signal_start(&s->hangup, on_hangup, SIGHUP);
}

/* ---- its life ------------------------------------------------------------------------------------------ */

static void hear_unserved(void *user, const cJSON *row)
{
  const server *s = user;
  cli_say_unserved(s->command, row);
}

static void hear_nothing_more(void *user)
{
  (void)user;
}

/* Their callers may be suspended and say nothing any more. */
static void ask_unserved(server *s)
{
  const cli_sink sink = {.row = hear_unserved, .end = hear_nothing_more, .user = s};
  cJSON *json = da_json_object();
  da_json_put_text(json, "verb", DA_LIT("unserved"));
  (void)cli_service_ask(cli_host_service(s->host), json, NULL, &sink);
}

static void on_ready(void *user)
{
  server *s = user;
  s->ready = true;
  cli_net_say(s->net);
  say_ready(s);
  cli_systemd_notify("READY=1\nSTATUS=serving %s", s->place);
  for (size_t i = 0; i < s->count; i++) declare(s, &s->sources[i]);
  ask_unserved(s);
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
    options->targets = s->targets;
    options->target_count = s->target_count;
    status = cli_host_open(options, &s->host, &err);
  }
  if (status != DA_OK) return cli_fail(CLI_EXIT_FAILED, "%s", err.text);
  cli_service *service = cli_host_service(s->host);
  service->watch = hear_event;
  service->watch_user = s;
  watch_signals(s);
  int code = load_all(s) ? cli_net_open(s->net, service->sched, service->worker) : CLI_EXIT_USAGE;
  if (code != 0) {
    cli_host_stop(s->host);
    _exit(code); /* nothing was written that another life would miss */
  }
  cli_host_run(s->host, on_ready, s);
  cli_host_close(s->host);
  cli_note(s->command, "stopped; what is not finished goes on with the next dahost serve");
  _exit(CLI_EXIT_OK);
}

/* Without a word on it, errors alone: what the log would warn of is said anyway. */
static void set_log_level(const cli_command *command)
{
  static const char *const names[] = {"debug", "info", "warn", "error"};
  const char *level = cli_config_text(command, CLI_LOG);
  da_log_set_level(DA_LOG_ERROR);
  for (int i = DA_LOG_DEBUG; level != NULL && i <= DA_LOG_ERROR; i++)
    if (strcmp(level, names[i]) == 0) da_log_set_level((da_log_level)i);
}

/* What the default group has begun (`dahost run`) goes on here anyway. */
static bool serves_default(const server *s)
{
  for (size_t i = 0; i < s->count; i++)
    if (s->sources[i].group == 0) return true;
  return false;
}

int cli_serve(const cli_command *command)
{
  (void)signal(SIGHUP, SIG_IGN); /* until watch_signals(): what it asks for is under way, and no reason to die */
  const char *fault = da_kill_setup();
  if (fault != NULL) return cli_fail(CLI_EXIT_USAGE, "%s", fault);
  cli_host_options options = {.worker = true, .drive = true, .serve = true};
  da_profile profile;
  cli_read_sizes(command, &options);
  cli_config_profile(command, &profile);
  options.profile = &profile;
  static da_slice targets[DA_GROUPS_MAX] = {{ADDRESS "default", sizeof ADDRESS "default" - 1}};
  static source sources[CLI_OPERANDS_MAX];
  server s = {
      .command = command, .sources = sources, .count = command->operand_count, .targets = targets, .target_count = 1};
  for (size_t i = 0; i < s.count; i++) {
    da_err err = {{0}};
    if (!read_operand(&s, command->operands[i], &sources[i], &err)) return cli_fail(CLI_EXIT_USAGE, "%s", err.text);
  }
  int code = cli_net_new(command, &s.net);
  if (code != 0) return code;
  options.shared = cli_net_listens(s.net);
  options.first_pinned_only = options.shared && !serves_default(&s);
  s.place = cli_store_place(command);
  set_log_level(command);
  code = serve(&s, &options);
  free(s.place);
  return code;
}
