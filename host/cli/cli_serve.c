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

#include "../sched/kill.h"
#include "cli.h"
#include "config.h"
#include "hear.h"
#include "plugins.h"
#include "reach.h"
#include "scripts.h"
#include "serve_net.h"
#include "systemd.h"

enum { BUSY_MS = 3000, RETRY_MS = 20 };

typedef struct server {
  const cli_command *command;
  char *place;
  cli_host *host;
  cli_scripts scripts;
  cli_hearing hearing;
  cli_net *net;
  uv_signal_t hangup;
  uv_async_t ending;
} server;

/* ---- what it says -------------------------------------------------------------------------------------- */

static void hear_event(void *user, const da_event *event)
{
  server *s = user;
  cli_net_count(s->net, event);
  cli_hear(&s->hearing, event);
}

static void say_ready(const server *s)
{
  da_buf words = {0};
  cli_scripts_list(&s->scripts, &words);
  cli_note(s->command, "serving %s%s%.*s", s->place, words.len > 0 ? ": " : "", DA_FMT(da_buf_slice(&words)));
  da_buf_free(&words);
}

static void on_hangup(uv_signal_t *signal, int number)
{
  server *s = signal->data;
  (void)number;
  cli_systemd_reloading();
  cli_scripts_reload(&s->scripts);
  if (!cli_net_reload(s->net) && s->scripts.count == 0)
    cli_note(s->command, "no file is served: nothing to load again");
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
    cli_plugins_leave(CLI_EXIT_OK);
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
  cli_hear_ready(&s->hearing);
  cli_net_say(s->net);
  say_ready(s);
  cli_systemd_notify("READY=1\nSTATUS=serving %s", s->place);
  cli_scripts_declare(&s->scripts);
  ask_unserved(s);
  cli_hear_early(&s->hearing);
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

static int load_all(server *s)
{
  da_err err = {{0}};
  s->scripts.worker = cli_host_service(s->host)->worker;
  if (cli_scripts_load(&s->scripts, &err) == DA_OK) return 0;
  cli_hear_early(&s->hearing);
  return cli_fail(CLI_EXIT_USAGE, "%s", err.text);
}

static int serve(server *s, cli_host_options *options)
{
  da_err err = {{0}};
  da_status status = open_store(s, &options->store, &err);
  if (status == DA_EBUSY)
    return cli_fail(CLI_EXIT_FAILED, "%s; a store has one holder: end that process, or name another --data", err.text);
  if (status == DA_OK) {
    options->place = s->place;
    options->targets = s->scripts.targets;
    options->target_count = s->scripts.target_count;
    status = cli_host_open(options, &s->host, &err);
  }
  if (status != DA_OK) return cli_fail(CLI_EXIT_FAILED, "%s", err.text);
  cli_service *service = cli_host_service(s->host);
  service->watch = hear_event;
  service->watch_user = s;
  watch_signals(s);
  int code = load_all(s);
  if (code == 0) code = cli_net_open(s->net, service->sched, service->worker);
  if (code != 0) {
    cli_host_stop(s->host);
    cli_plugins_leave(code); /* nothing was written that another life would miss */
  }
  cli_host_run(s->host, on_ready, s);
  cli_host_close(s->host);
  cli_note(s->command, "stopped; what is not finished goes on with the next dahost serve");
  cli_plugins_leave(CLI_EXIT_OK);
}

/* What the default group has begun (`dahost run`) goes on here anyway. */
static bool serves_default(const server *s)
{
  for (size_t i = 0; i < s->scripts.count; i++)
    if (s->scripts.list[i].group == 0) return true;
  return false;
}

int cli_serve(const cli_command *command)
{
  (void)signal(SIGHUP, SIG_IGN); /* until watch_signals(): what it asks for is under way, and no reason to die */
  const char *fault = da_kill_setup();
  if (fault != NULL) return cli_fail(CLI_EXIT_USAGE, "%s", fault);
  cli_host_options options = {.worker = true, .drive = true, .serve = true};
  da_profile profile;
  int refused = cli_read_sizes(command, &options);
  if (refused != 0) return refused;
  cli_config_profile(command, &profile);
  options.profile = &profile;
  static server s; /* its operands alone are larger than a stack should hold */
  s.command = s.hearing.command = command;
  int code = cli_scripts_read(&s.scripts, command);
  if (code == 0) code = cli_net_new(command, &s.net);
  if (code != 0) return code;
  options.shared = cli_net_listens(s.net);
  options.first_pinned_only = options.shared && !serves_default(&s);
  s.place = cli_store_place(command);
  cli_hear_log(command);
  code = serve(&s, &options);
  free(s.place);
  return code;
}
