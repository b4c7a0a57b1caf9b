/* host.c - this process as the holder of a store.
 * SPDX-License-Identifier: Apache-2.0 */
#include "host.h"

#include <stdlib.h>
#include <uv.h>

#include "../../bindings/bind.h"
#include "../base/id.h"
#include "../base/log.h"
#include "../sched/control.h"
#include "cli.h"
#include "event.h"
#include "plugins.h"

enum { TICK_MS = 1000 };

struct cli_host {
  cli_service service;
  da_store *store;
  da_sched *sched;
  da_worker *worker;
  da_control *control;
  uv_timer_t tick; /* followers over the socket redraw on it */
  char pid[32];
  bool leaving;
  bool alone;
  void (*ready)(void *user);
  void *ready_user;
};

/* ---- the control socket -------------------------------------------------------------------------------- */

/* One request of another process. */
typedef struct peer {
  cli_host *host;
  da_control_conn *conn;
  cli_request *request; /* NULL while it is being asked, and after its end */
  bool ended;
  struct peer *next;
} peer;

static peer *peers; /* of the one host a process has */

static void send_json(peer *p, const cJSON *row)
{
  da_buf line = {0};
  da_json_print(row, &line);
  da_control_write(p->conn, da_buf_slice(&line));
  da_buf_free(&line);
}

static void peer_row(void *user, const cJSON *row)
{
  send_json(user, row);
}

static void peer_event(void *user, const da_event *event)
{
  cJSON *row = cli_event_to_json(event);
  send_json(user, row);
  cJSON_Delete(row);
}

static void peer_end(void *user)
{
  peer *p = user;
  peer **at = &peers;
  while (*at != p) at = &(*at)->next;
  *at = p->next;
  p->ended = true;
  da_control_end(p->conn);
  cli_host *host = p->host;
  if (p->request != NULL) free(p); /* else on_request() still holds it */
  if (host->leaving) cli_host_leave(host);
}

static void on_request(void *user, da_control_conn *conn, da_slice line)
{
  cli_host *host = user;
  peer *p = da_xcalloc(1, sizeof *p);
  p->host = host;
  p->conn = conn;
  p->next = peers;
  peers = p;
  cJSON *json = da_json_parse(line, NULL);
  if (json == NULL) json = da_json_object(); /* refused for its verb */
  cli_sink sink = {.row = peer_row, .event = peer_event, .end = peer_end, .user = p};
  cli_request *request = cli_service_ask(&host->service, json, NULL, &sink);
  if (p->ended)
    free(p);
  else
    p->request = request;
}

static void on_gone(void *user, da_control_conn *conn)
{
  (void)user;
  peer **at = &peers;
  while (*at != NULL && (*at)->conn != conn) at = &(*at)->next;
  peer *p = *at;
  if (p == NULL) return;
  *at = p->next;
  cli_host *host = p->host;
  if (p->request != NULL) cli_service_gone(p->request);
  free(p);
  if (host->leaving) cli_host_leave(host);
}

static void on_tick(uv_timer_t *timer)
{
  (void)timer;
  cJSON *row = NULL;
  for (peer *p = peers; p != NULL; p = p->next) {
    if (p->request == NULL || !da_json_flag(p->request->json, "tick")) continue;
    if (row == NULL) {
      row = da_json_object();
      da_json_put_flag(row, "tick", true);
    }
    send_json(p, row);
  }
  cJSON_Delete(row);
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static da_status open_worker(cli_host *host, const cli_host_options *options, da_err *err)
{
  uint8_t secret[16], image_key[DA_STORE_IMAGE_KEY];
  da_store_secret(host->store, secret);
  bind_setup();
  da_worker_options worker = {.sched = host->sched,
                              .hooks = cli_worker_hooks(),
                              .targets = options->targets,
                              .target_count = options->target_count,
                              .shared = options->shared,
                              .pid = host->pid,
                              .secret = secret,
                              .step_threads = options->step_threads,
                              .warm_bytes = options->warm_bytes,
                              .image_after = options->image_after,
                              .image_every = options->image_every,
                              .span_limit_ms = options->span_limit_ms,
                              .after_death = da_store_after_death(host->store),
                              .deaths_max = options->deaths_max,
                              .event = cli_service_event,
                              .user = &host->service};
  if (options->images && da_worker_can_image() && da_store_image_key(host->store, image_key))
    worker.image_key = image_key;
  da_status status = da_worker_new(&worker, &host->worker, err);
  if (status != DA_OK) return status;
  da_sched_events events = da_worker_events(host->worker);
  da_sched_set_events(host->sched, &events);
  if (options->drive) da_worker_drive(host->worker, options->serve);
  return DA_OK;
}

da_status cli_host_open(const cli_host_options *given, cli_host **out, da_err *err)
{
  cli_host_options complete = *given;
  const cli_host_options *options = &complete;
  if (given->target_count == 0) {
    complete.targets = &da_default_target;
    complete.target_count = 1;
  }
  cli_host *host = da_xcalloc(1, sizeof *host);
  *out = NULL;
  host->store = options->store;
  da_id_local_pid(host->pid);
  da_sched_options sched = {.store = host->store,
                            .profile = options->profile != NULL ? *options->profile : da_profile_default,
                            .local_targets = options->targets,
                            .local_target_count = options->target_count,
                            .first_pinned_only = options->first_pinned_only,
                            .fires = options->serve,
                            .pid = host->pid};
  da_status status = da_sched_new(&sched, &host->sched, err);
  if (status == DA_OK && options->worker) status = open_worker(host, options, err);
  if (status != DA_OK) {
    if (host->sched != NULL) da_sched_delete(host->sched);
    da_store_close(host->store);
    free(host);
    return status;
  }
  host->alone = options->place == NULL;
  cli_service_create(&host->service, host->sched, host->worker, host->alone ? "memory" : options->place);
  host->service.drives = options->drive;
  host->service.serves = options->serve;
  host->service.target = options->targets[0];
  *out = host;
  return DA_OK;
}

cli_service *cli_host_service(cli_host *host)
{
  return &host->service;
}

/* The worker, its store's state taken over: other processes may speak to it now. */
static void recovered(void *user)
{
  cli_host *host = user;
  da_err err = {{0}};
  if (host->alone) {
    host->ready(host->ready_user);
    return;
  }
  da_store_death_known(host->store);
  da_control_handler handler = {.request = on_request, .gone = on_gone, .user = host};
  if (da_control_listen(host->sched, host->service.place, &handler, &host->control, &err) != DA_OK)
    da_log(DA_LOG_WARN, "control.failed", "text=\"%s\"", err.text); /* it works without, alone */
  uv_loop_t *loop = da_sched_loop(host->sched);
  (void)uv_timer_init(loop, &host->tick);
  (void)uv_timer_start(&host->tick, on_tick, TICK_MS, TICK_MS);
  uv_unref((uv_handle_t *)&host->tick);
  host->ready(host->ready_user);
}

static void ready_tool(void *user)
{
  cli_host *host = user;
  host->ready(host->ready_user);
}

void cli_host_run(cli_host *host, void (*ready)(void *user), void *user)
{
  host->ready = ready;
  host->ready_user = user;
  if (host->worker != NULL)
    da_sched_recover(host->sched, recovered, host);
  else
    da_sched_post(host->sched, ready_tool, host);
  da_sched_run(host->sched);
}

void cli_host_leave(cli_host *host)
{
  bool asked = false;
  host->leaving = true;
  for (const peer *p = peers; p != NULL; p = p->next)
    asked = asked || (p->request != NULL && !cli_request_follows(p->request));
  if (!asked) cli_host_stop(host);
}

void cli_host_stop(cli_host *host)
{
  if (host->worker != NULL) da_store_ended(host->store); /* at once: the process may be told to leave any moment */
  da_sched_stop(host->sched);
}

struct uv_loop_s *cli_host_loop(cli_host *host)
{
  return da_sched_loop(host->sched);
}

da_store *cli_host_drop(cli_host *host)
{
  da_store *store = host->store;
  if (host->control != NULL) da_control_close(host->control);
  if (host->tick.loop != NULL) uv_close((uv_handle_t *)&host->tick, NULL);
  if (host->worker != NULL) da_worker_delete(host->worker);
  da_sched_delete(host->sched);
  cli_service_destroy(&host->service);
  free(host);
  return store;
}

static cli_host *volatile left; /* what the process ends with, so that a leak checker sees it is held */

/* A worker is not taken down: its steps are not waited for, and what it was told is flushed. The process that had it
 * ends, the kernel closes what is open, and whoever follows over the socket takes over. */
void cli_host_close(cli_host *host)
{
  if (host == NULL) return;
  if (host->worker != NULL) {
    if (host->control != NULL) da_control_close(host->control);
    left = host;
    return;
  }
  da_sched_delete(host->sched);
  cli_service_destroy(&host->service);
  da_store_close(host->store);
  free(host);
}
