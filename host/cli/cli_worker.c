/* cli_worker.c - worker: this process runs scripts for a server elsewhere, which holds the promises.
 *
 * Life: files are read and loaded, then messages are asked for; SIGHUP reads the files again. SIGINT or SIGTERM:
 * nothing new is taken up, what runs is suspended, or given back as soon as its steps under way are recorded, within
 * --shutdown-timeout; then all is given back at once. A second signal ends the process there and then: its leases
 * lapse. There is no store, and no other process can ask this one.
 *
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>
#include <uv.h>

#include "../../bindings/bind.h"
#include "../base/id.h"
#include "../net/remote.h"
#include "cli.h"
#include "config.h"
#include "hear.h"
#include "host.h"
#include "plugins.h"
#include "reach.h"
#include "scripts.h"
#include "systemd.h"
#include "text.h"

enum { SERVERS_MAX = 16, LIMITS_MAX = 64, LEASE_MS = 30000, LAST_MS = 2000 };

typedef struct far_worker {
  const cli_command *command;
  cli_scripts scripts;
  cli_hearing hearing;
  cli_host_options sizes;
  da_slice servers[SERVERS_MAX];
  size_t server_count;
  const char *unix_path;
  da_slice groups[DA_GROUPS_MAX], own_targets[DA_GROUPS_MAX];
  size_t group_count;
  char pid[64];
  da_limit limits[LIMITS_MAX];
  size_t limit_count;
  size_t running_max;
  int64_t lease_ms, request_ms;
  da_remote *remote;
  da_sched *sched;
  da_worker *worker;
  uv_signal_t hangup;
  uv_async_t ending;
  uv_timer_t bound;
  bool last; /* the bound has passed once */
} far_worker;

/* ---- what it says -------------------------------------------------------------------------------------- */

static void hear_event(void *user, const da_event *event)
{
  far_worker *w = user;
  cli_hear(&w->hearing, event);
}

static void say_ready(far_worker *w, da_slice server)
{
  da_buf words = {0}, groups = {0};
  for (size_t i = 0; i < w->group_count; i++) da_buf_addf(&groups, "%s%.*s", i > 0 ? ", " : "", DA_FMT(w->groups[i]));
  cli_scripts_list(&w->scripts, &words);
  cli_hear_ready(&w->hearing);
  cli_note(w->command, "worker %s serves %.*s for %.*s: %.*s", w->pid, DA_FMT(da_buf_slice(&groups)), DA_FMT(server),
           DA_FMT(da_buf_slice(&words)));
  da_buf_free(&words);
  da_buf_free(&groups);
  cli_systemd_notify("READY=1");
  cli_hear_early(&w->hearing);
}

static void hear_remote(void *user, const da_remote_event *event)
{
  far_worker *w = user;
  switch (event->kind) {
  case DA_REMOTE_READY:
    say_ready(w, event->server);
    cli_scripts_declare(&w->scripts);
    break;
  case DA_REMOTE_LOST:
    (void)cli_fail(0, "%.*s cannot be reached: %.*s; it is tried again and again", DA_FMT(event->server),
                   DA_FMT(event->text));
    break;
  case DA_REMOTE_BACK:
    cli_note(w->command, "%.*s is there again", DA_FMT(event->server));
    break;
  case DA_REMOTE_REFUSED:
    (void)cli_fail(0, "%.*s does not let us in: %.*s; it is asked again each minute", DA_FMT(event->server),
                   DA_FMT(event->text));
    break;
  case DA_REMOTE_LEASE:
    cli_note(w->command, "%.*s is not ours any more: %.*s", DA_FMT(event->id), DA_FMT(event->text));
    break;
  }
}

/* ---- its end ------------------------------------------------------------------------------------------- */

static far_worker *volatile running;
static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
  far_worker *w = running;
  (void)number;
  if (interrupted || w == NULL) cli_plugins_leave(CLI_EXIT_OK);
  interrupted = 1;
  (void)uv_async_send(&w->ending);
}

static void on_closed(void *user)
{
  const far_worker *w = user;
  da_sched_stop(w->sched);
}

static void on_drained(void *user)
{
  far_worker *w = user;
  (void)uv_timer_stop(&w->bound);
  da_remote_close(w->remote, on_closed, w);
}

static void on_bound(uv_timer_t *timer)
{
  far_worker *w = timer->data;
  if (w->last) {
    on_drained(w);
    return;
  }
  w->last = true;
  (void)uv_timer_start(&w->bound, on_bound, LAST_MS, 0);
  da_worker_drain(w->worker, true, on_drained, w);
}

static void on_ending(uv_async_t *ending)
{
  far_worker *w = ending->data;
  cli_systemd_notify("STOPPING=1");
  da_remote_receive(w->remote, false);
  (void)uv_timer_start(&w->bound, on_bound, (uint64_t)cli_config_number(w->command, CLI_SHUTDOWN_TIMEOUT), 0);
  da_worker_drain(w->worker, false, on_drained, w);
  if (da_worker_get_stats(w->worker).step_threads_busy > 0)
    cli_note(w->command, "ending: steps under way have %g s to end; a signal once more ends it at once",
             (double)cli_config_number(w->command, CLI_SHUTDOWN_TIMEOUT) / 1000);
}

static void on_hangup(uv_signal_t *signal, int number)
{
  far_worker *w = signal->data;
  (void)number;
  cli_systemd_reloading();
  cli_scripts_reload(&w->scripts);
  cli_systemd_notify("READY=1");
}

static void watch_signals(far_worker *w)
{
  struct sigaction action = {.sa_handler = on_interrupt};
  uv_loop_t *loop = da_sched_loop(w->sched);
  (void)uv_async_init(loop, &w->ending, on_ending);
  (void)uv_timer_init(loop, &w->bound);
  w->ending.data = w->bound.data = w;
  running = w;
  (void)sigemptyset(&action.sa_mask);
  (void)sigaction(SIGINT, &action, NULL);
  (void)sigaction(SIGTERM, &action, NULL);
  (void)uv_signal_init(loop, &w->hangup);
  w->hangup.data = w;
  (void)uv_signal_start(&w->hangup, on_hangup, SIGHUP);
}

/* ---- what it was told ---------------------------------------------------------------------------------- */

/* The next piece between commas; false: none. */
static bool next_piece(const char **at, da_slice *piece)
{
  if (*at == NULL || **at == '\0') return false;
  const char *comma = strchr(*at, ',');
  *piece = da_slice_make(*at, comma != NULL ? (size_t)(comma - *at) : strlen(*at));
  *at = comma != NULL ? comma + 1 : NULL;
  return true;
}

static int read_servers(far_worker *w)
{
  const char *given = w->command->flags[CLI_SERVER];
  da_slice piece;
  if (given == NULL)
    return cli_fail(CLI_EXIT_USAGE, "worker wants --server URL, the server that it works for: http://HOST:PORT");
  if (strncmp(given, "unix:", 5) == 0) {
    w->unix_path = given + 5;
    w->servers[w->server_count++] = DA_LIT("http://localhost/");
    return 0;
  }
  for (const char *at = given; next_piece(&at, &piece);) {
    if (w->server_count == SERVERS_MAX) return cli_fail(CLI_EXIT_USAGE, "more than %d servers", SERVERS_MAX);
    w->servers[w->server_count++] = piece;
  }
  return 0;
}

static int read_limits(far_worker *w)
{
  const char *given = w->command->flags[CLI_AT_ONCE_OF];
  da_slice piece;
  for (const char *at = given; next_piece(&at, &piece);) {
    ptrdiff_t equals = da_slice_find(piece, '=');
    char *end = NULL;
    long count = equals > 0 ? strtol(piece.ptr + equals + 1, &end, 10) : 0;
    if (count < 1 || end != piece.ptr + piece.len)
      return cli_fail(CLI_EXIT_USAGE, "--at-once-of wants FUNCTION=N, with N from 1 on, not '%.*s'", DA_FMT(piece));
    if (w->limit_count == LIMITS_MAX) return cli_fail(CLI_EXIT_USAGE, "more than %d limits", LIMITS_MAX);
    w->limits[w->limit_count++] = (da_limit){da_slice_make(piece.ptr, (size_t)equals), (size_t)count};
  }
  return 0;
}

static int read_running(far_worker *w)
{
  const char *given = w->command->flags[CLI_AT_ONCE];
  char *end = NULL;
  if (given == NULL) return 0;
  long count = strtol(given, &end, 10);
  if (count < 1 || *end != '\0') return cli_fail(CLI_EXIT_USAGE, "--at-once wants a number from 1 on, not '%s'", given);
  w->running_max = (size_t)count;
  return 0;
}

static int read_duration(const cli_command *command, cli_flag_id flag, int64_t least, int64_t *out)
{
  const char *given = command->flags[flag];
  if (given == NULL || (cli_duration_read(given, out) && *out >= least)) return 0;
  return cli_fail(CLI_EXIT_USAGE, "--%s wants a duration of at least %lld ms (10s, 2m), not '%s'",
                  flag == CLI_LEASE ? "lease" : "request-timeout", (long long)least, given);
}

static int read_ids(const cli_command *command)
{
  const char *given = command->flags[CLI_IDS];
  if (given == NULL || strcmp(given, "colon") == 0) return 0;
  if (strcmp(given, "dot") != 0) return cli_fail(CLI_EXIT_USAGE, "--ids wants colon or dot, not '%s'", given);
  da_id_set_dialect(DA_ID_DOT);
  return 0;
}

static int read_pid(far_worker *w)
{
  const char *given = w->command->flags[CLI_PID];
  uint8_t random[16] = {0};
  if (given == NULL) {
    (void)getrandom(random, sizeof random, 0);
    for (size_t i = 0; i < sizeof random; i++) (void)snprintf(w->pid + 2 * i, 3, "%02x", random[i]);
    return 0;
  }
  size_t plain = strspn(given, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~-");
  if (plain == 0 || given[plain] != '\0' || plain >= sizeof w->pid)
    return cli_fail(CLI_EXIT_USAGE, "--pid wants 1 to %zu letters, digits, '.', '_', '~' and '-', not '%s'",
                    sizeof w->pid - 1, given);
  memcpy(w->pid, given, plain + 1);
  return 0;
}

/* ---- its life ------------------------------------------------------------------------------------------ */

static void listen_for(void *user, da_slice subject, da_slice id)
{
  da_remote_listen(user, subject, id);
}

static void unlisten_for(void *user, da_slice id)
{
  da_remote_unlisten(user, id);
}

static void forget_task(void *user, da_slice id)
{
  da_remote_forget(user, id);
}

static void watch_for(void *user, da_slice id, da_slice promise_id)
{
  da_remote_watch(user, id, promise_id);
}

static void pause_messages(void *user, bool paused)
{
  da_remote_pause(user, paused);
}

static bool serves_first(const far_worker *w)
{
  for (size_t i = 0; i < w->scripts.count; i++)
    if (w->scripts.list[i].group == 0) return true;
  return false;
}

static da_status open_remote(far_worker *w, da_err *err)
{
  size_t skipped = serves_first(w) ? 0 : 1; /* the group of files that name none, of which there are none */
  for (size_t i = skipped; i < w->scripts.target_count; i++)
    w->groups[w->group_count++] = da_group_name(w->scripts.targets[i]);
  const da_remote_options options = {.servers = w->servers,
                                     .server_count = w->server_count,
                                     .unix_path = w->unix_path,
                                     .token = cli_text(w->command, CLI_TOKEN),
                                     .pid = da_slice_of(w->pid),
                                     .groups = w->groups,
                                     .group_count = w->group_count,
                                     .ttl_ms = w->lease_ms,
                                     .request_ms = w->request_ms,
                                     .event = hear_remote,
                                     .user = w};
  da_status status = da_remote_new(&options, &w->remote, err);
  if (status != DA_OK) return status;
  w->own_targets[0] = w->scripts.targets[0];
  for (size_t i = skipped; i < w->scripts.target_count; i++)
    w->own_targets[i] = da_remote_target(w->remote, i - skipped);
  const da_backend backend = da_remote_backend(w->remote);
  const da_sched_options sched = {.backend = &backend, .profile = da_profile_default, .pid = w->pid};
  status = da_sched_new(&sched, &w->sched, err);
  if (status == DA_OK) da_remote_attach(w->remote, w->sched);
  return status;
}

static da_status open_worker(far_worker *w, da_err *err)
{
  /* The seeds of an execution's tables must be the same wherever it goes on, so they come from nothing of this process.
   */
  static const uint8_t secret[16];
  bind_setup();
  const da_far far = {.listen = listen_for,
                      .unlisten = unlisten_for,
                      .forget = forget_task,
                      .watch = watch_for,
                      .pause = pause_messages,
                      .ttl_ms = w->lease_ms,
                      .user = w->remote};
  const da_worker_options options = {.sched = w->sched,
                                     .far = &far,
                                     .own_targets = w->own_targets,
                                     .running_max = w->running_max,
                                     .limits = w->limits,
                                     .limit_count = w->limit_count,
                                     .hooks = cli_worker_hooks(),
                                     .targets = w->scripts.targets,
                                     .target_count = w->scripts.target_count,
                                     .pid = w->pid,
                                     .secret = secret,
                                     .step_threads = w->sizes.step_threads,
                                     .warm_bytes = w->sizes.warm_bytes,
                                     .span_limit_ms = w->sizes.span_limit_ms,
                                     .deaths_max = w->sizes.deaths_max,
                                     .event = hear_event,
                                     .user = w};
  da_status status = da_worker_new(&options, &w->worker, err);
  if (status != DA_OK) return status;
  da_sched_events events = da_worker_events(w->worker);
  da_sched_set_events(w->sched, &events);
  da_worker_drive(w->worker, true);
  w->scripts.worker = w->worker;
  return DA_OK;
}

static int work(far_worker *w)
{
  da_err err = {{0}};
  if (open_remote(w, &err) != DA_OK) return cli_fail(CLI_EXIT_USAGE, "--server: %s", err.text);
  if (open_worker(w, &err) != DA_OK) return cli_fail(CLI_EXIT_FAILED, "%s", err.text);
  watch_signals(w);
  if (cli_scripts_load(&w->scripts, &err) != DA_OK) {
    cli_hear_early(&w->hearing);
    (void)cli_fail(CLI_EXIT_USAGE, "%s", err.text);
    cli_plugins_leave(CLI_EXIT_USAGE); /* nothing was begun */
  }
  da_remote_receive(w->remote, true);
  da_sched_run(w->sched);
  cli_note(w->command, "stopped; what is not finished goes on with another worker");
  cli_plugins_leave(CLI_EXIT_OK); /* steps that do not end are not waited for */
}

int cli_worker(const cli_command *command)
{
  (void)signal(SIGHUP, SIG_IGN);
  static far_worker w;
  w.command = w.hearing.command = command;
  w.lease_ms = LEASE_MS;
  int code = cli_read_sizes(command, &w.sizes);
  if (code == 0) code = read_servers(&w);
  if (code == 0) code = read_limits(&w);
  if (code == 0) code = read_running(&w);
  if (code == 0) code = read_pid(&w);
  if (code == 0) code = read_ids(command);
  if (code == 0) code = read_duration(command, CLI_LEASE, 300, &w.lease_ms);
  if (code == 0) code = read_duration(command, CLI_REQUEST_TIMEOUT, 1, &w.request_ms);
  if (code == 0) code = cli_scripts_read(&w.scripts, command);
  if (code != 0) return code;
  cli_hear_log(command);
  return work(&w);
}
