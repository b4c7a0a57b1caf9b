/* remote.c - the backend as a whole: its life, the server it speaks to, lanes and what waits in them.
 *
 * A break leaves the calls of a lane in their list, unsent; when the pause is over each lane sends all it has, in
 * order. A pause after an answer that is none (429, 5xx, no envelope) is treated as a break, since what was sent
 * behind it may have been carried out without it.
 *
 * Threads:  the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "../base/hash.h"
#include "../base/id.h"
#include "../base/log.h"
#include "http_url.h"
#include "remote_parts.h"

enum {
  LANES = 8,
  REQUEST_MS = 30000,
  PAUSE_MS = 250, /* before all servers are tried once more, doubling to... */
  PAUSE_MAX_MS = 10000,
  REFUSED_MS = 60000,
  TICK_MS = 500,
  ANSWER_MAX = 256 << 20
};

/* ---- words --------------------------------------------------------------------------------------------- */

da_slice da_remote_url(const da_remote *remote)
{
  return remote->options.servers[remote->server];
}

void da_remote_tell(da_remote *remote, da_remote_event_kind kind, da_slice id, da_slice text)
{
  const da_remote_event event = {.kind = kind, .server = da_remote_url(remote), .id = id, .text = text};
  if (remote->options.event != NULL && !remote->closing) remote->options.event(remote->options.user, &event);
}

/* ---- the server ---------------------------------------------------------------------------------------- */

static void on_retry(uv_timer_t *timer);

static void pause_for(da_remote *remote, uint64_t ms)
{
  if (remote->waiting || remote->closing) return;
  remote->waiting = true;
  (void)uv_timer_start(&remote->retry, on_retry, ms, 0);
}

static void drop_http(da_remote_lane *lane)
{
  if (lane->http == NULL) return;
  da_http_lane *http = lane->http;
  lane->http = NULL;
  da_http_lane_delete(http, (void (*)(void *))da_remote_let_go, lane->remote);
}

static uint64_t pause_of(const da_remote *remote)
{
  size_t servers = remote->options.server_count;
  size_t rounds = servers > 0 ? remote->failures / servers : 0;
  uint64_t ms = (uint64_t)PAUSE_MS << (rounds < 6 ? rounds : 6);
  if (rounds * servers != remote->failures) return 1; /* the next one at once */
  return ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS;
}

void da_remote_unreachable(da_remote *remote, const da_err *err)
{
  if (remote->waiting || remote->closing) return;
  remote->failures++;
  remote->stats.breaks++;
  if (remote->failures >= remote->options.server_count && !remote->lost_told) {
    remote->lost_told = true;
    da_remote_tell(remote, DA_REMOTE_LOST, DA_NONE, da_slice_of(err->text));
  }
  if (remote->options.server_count > 1) {
    remote->server = (remote->server + 1) % remote->options.server_count;
    for (size_t i = 0; i <= remote->options.lanes; i++) drop_http(&remote->lanes[i]);
  }
  pause_for(remote, pause_of(remote));
}

void da_remote_reached(da_remote *remote)
{
  remote->failures = 0;
  remote->refused_told = false;
  if (!remote->lost_told) return;
  remote->lost_told = false;
  da_remote_tell(remote, DA_REMOTE_BACK, DA_NONE, DA_NONE);
}

void da_remote_refused(da_remote *remote, int status, da_slice words)
{
  char text[300];
  (void)snprintf(text, sizeof text, "%d %.*s: look at --token (RESONATE_TOKEN)", status,
                 (int)(words.len > 200 ? 200 : words.len), words.len > 0 ? words.ptr : "");
  if (!remote->refused_told) da_remote_tell(remote, DA_REMOTE_REFUSED, DA_NONE, da_slice_of(text));
  remote->refused_told = true;
}

/* ---- calls --------------------------------------------------------------------------------------------- */

static void free_call(da_remote_call *call)
{
  da_buf_free(&call->body);
  free(call);
}

/* Everything of the lane is to be sent again. */
static void break_lane(da_remote_lane *lane)
{
  for (da_remote_call *call = lane->first; call != NULL; call = call->next) {
    call->repeated = call->repeated || call->sent;
    call->sent = false;
  }
  drop_http(lane);
}

static void take_answer(da_remote_call *call, const da_client_answer *answer, da_arena *arena)
{
  da_remote_lane *lane = call->lane;
  DA_ASSERT(lane->first == call);
  lane->first = call->next;
  if (lane->first == NULL) lane->end = &lane->first;
  lane->count--;
  call->done(call, answer, arena);
  free_call(call);
}

/* 401 to the whole of it, or a server that is not itself: the call is asked again later. True: it is. */
static bool put_off(da_remote_call *call, int status, da_slice words)
{
  da_remote *remote = call->lane->remote;
  bool refused = status == 401 || status == 403;
  if (!refused && status != 429 && status < 500) return false;
  if (status == 501) return false;
  if (refused) da_remote_refused(remote, status, words);
  break_lane(call->lane);
  remote->stats.breaks++;
  pause_for(remote, refused ? REFUSED_MS : PAUSE_MAX_MS / 10);
  return true;
}

static void answered(void *user, const da_http_lane_end *end);

static void send_call(da_remote_call *call)
{
  da_remote *remote = call->lane->remote;
  da_http_field fields[2] = {{DA_LIT("content-type"), DA_LIT("application/json")}};
  size_t count = 1;
  da_buf token = {0};
  if (remote->options.token.len > 0) {
    da_buf_addf(&token, "Bearer %.*s", DA_FMT(remote->options.token));
    fields[count++] = (da_http_field){DA_LIT("authorization"), da_buf_slice(&token)};
  }
  call->sent = true;
  if (call->repeated) remote->stats.repeated++;
  da_http_lane_send(call->lane->http, fields, count, da_buf_slice(&call->body), answered, call);
  da_buf_free(&token);
}

static bool open_lane(da_remote_lane *lane)
{
  da_remote *remote = lane->remote;
  da_err err = {{0}};
  if (lane->http != NULL) return true;
  const da_http_lane_options options = {.loop = remote->loop,
                                        .url = da_remote_url(remote),
                                        .unix_path = remote->options.unix_path,
                                        .answer_max = ANSWER_MAX,
                                        .request_ms = remote->options.request_ms};
  if (da_http_lane_new(&options, &lane->http, &err) != DA_OK) {
    da_remote_unreachable(remote, &err);
    return false;
  }
  remote->handles++;
  return true;
}

static void send_all(da_remote_lane *lane)
{
  if (lane->first == NULL || !open_lane(lane)) return;
  for (da_remote_call *call = lane->first; call != NULL; call = call->next)
    if (!call->sent) send_call(call);
}

static void on_retry(uv_timer_t *timer)
{
  da_remote *remote = timer->data;
  remote->waiting = false;
  for (size_t i = 0; i <= remote->options.lanes && !remote->waiting; i++) send_all(&remote->lanes[i]);
  da_remote_streams_open(remote);
}

/* What is on the lane and was not answered comes here one by one, in order. */
static void lost(da_remote_call *call, const da_http_lane_end *end)
{
  da_remote *remote = call->lane->remote;
  call->repeated = call->repeated || end->maybe_done;
  call->sent = false;
  if (remote->closing || call->lane->http == NULL) return; /* we broke it ourselves */
  if (end->maybe_done) {
    remote->stats.breaks++;
    pause_for(remote, 20);
  } else {
    da_remote_unreachable(remote, end->err);
  }
}

static void answered(void *user, const da_http_lane_end *end)
{
  da_remote_call *call = user;
  da_remote_lane *lane = call->lane;
  da_remote *remote = lane->remote;
  da_arena own = {0};
  da_err err = {{0}};
  if (end->reply == NULL) {
    lost(call, end);
    return;
  }
  da_arena *arena = call->arena != NULL ? call->arena : &own;
  da_slice text = da_arena_dup(arena, end->reply->body);
  da_client_answer answer;
  char number[24];
  (void)snprintf(number, sizeof number, "%llu", (unsigned long long)call->number);
  bool read = da_envelope_read_answer(text, call->kind, arena, &answer, &err);
  int status = read ? answer.reply.status : end->reply->status;
  if (read && !da_slice_eq(answer.corr_id, da_slice_of(number))) {
    read = false;
    (void)da_fail(&err, DA_EINVAL, "an answer to another request");
  }
  if (!put_off(call, status, read ? answer.reply.message : text)) {
    if (read) {
      da_remote_reached(remote);
      take_answer(call, &answer, arena);
    } else {
      da_log(DA_LOG_WARN, "remote.no_answer", "server=%.*s kind=%s status=%d text=\"%s\"",
             DA_FMT(da_remote_url(remote)), da_req_kind_name(call->kind), end->reply->status, err.text);
      break_lane(lane);
      da_remote_unreachable(remote, &err);
    }
  }
  da_arena_free(&own);
}

da_remote_call *da_remote_ask(da_remote_lane *lane, const da_request *request, const char *preload,
                              void (*done)(da_remote_call *call, const da_client_answer *answer, da_arena *arena),
                              void *user, da_arena *arena)
{
  da_remote *remote = lane->remote;
  da_remote_call *call = da_xcalloc(1, sizeof *call);
  char number[24];
  call->lane = lane;
  call->kind = request->kind;
  call->number = ++remote->numbers;
  call->done = done;
  call->user = user;
  call->arena = arena;
  (void)snprintf(number, sizeof number, "%llu", (unsigned long long)call->number);
  bool of_task = strncmp(da_req_kind_name(request->kind), "task.", 5) == 0;
  const da_client_head head = {.corr_id = da_slice_of(number),
                               .auth = remote->options.token,
                               .origin = of_task && request->id.len > 0 ? da_id_root(request->id) : DA_NONE,
                               .preload = preload != NULL ? da_slice_of(preload) : DA_NONE};
  da_envelope_write_request(&call->body, request, &head);
  *lane->end = call;
  lane->end = &call->next;
  lane->count++;
  if (request->kind == DA_REQ_TASK_HEARTBEAT)
    remote->stats.heartbeats++;
  else
    remote->stats.requests++;
  if (!remote->waiting && !remote->closing && open_lane(lane)) send_call(call);
  return call;
}

da_remote_lane *da_remote_lane_of(da_remote *remote, da_slice subject)
{
  size_t lanes = remote->options.lanes;
  return &remote->lanes[subject.len == 0 ? lanes : da_hash64(da_id_root(subject)) % lanes];
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static void name_targets(da_remote *remote)
{
  remote->targets = da_arena_zalloc(&remote->arena, (remote->options.group_count + 1) * sizeof *remote->targets);
  for (size_t i = 0; i < remote->options.group_count; i++)
    remote->targets[i] = da_arena_printf(&remote->arena, "poll://any@%.*s/%.*s", DA_FMT(remote->options.groups[i]),
                                         DA_FMT(remote->options.pid));
}

da_status da_remote_new(const da_remote_options *options, da_remote **out, da_err *err)
{
  *out = NULL;
  for (size_t i = 0; i < options->server_count; i++) {
    da_http_url url;
    da_status status = da_http_url_read(options->servers[i], &url, err);
    if (status != DA_OK) return status;
    da_http_url_free(&url);
  }
  da_remote *remote = da_xcalloc(1, sizeof *remote);
  remote->options = *options;
  if (options->lanes == 0) remote->options.lanes = LANES;
  if (options->request_ms == 0) remote->options.request_ms = REQUEST_MS;
  remote->lanes = da_xcalloc(remote->options.lanes + 1, sizeof *remote->lanes);
  for (size_t i = 0; i <= remote->options.lanes; i++) {
    da_remote_lane *lane = &remote->lanes[i];
    lane->remote = remote;
    lane->end = &lane->first;
    lane->ops_end = &lane->ops;
  }
  name_targets(remote);
  *out = remote;
  return DA_OK;
}

da_backend da_remote_backend(da_remote *remote)
{
  return (da_backend){da_remote_submit, remote};
}

static void on_tick(uv_timer_t *timer)
{
  da_remote_on_tick(timer->data);
}

void da_remote_attach(da_remote *remote, da_sched *sched)
{
  remote->sched = sched;
  remote->loop = da_sched_loop(sched);
  (void)uv_timer_init(remote->loop, &remote->retry);
  (void)uv_timer_init(remote->loop, &remote->tick);
  remote->retry.data = remote->tick.data = remote;
  remote->handles = 2;
  (void)uv_timer_start(&remote->tick, on_tick, TICK_MS, TICK_MS);
  da_remote_streams_create(remote);
}

void da_remote_receive(da_remote *remote, bool wanted)
{
  if (remote->receiving == wanted || remote->closing) return;
  remote->receiving = wanted;
  if (wanted)
    da_remote_streams_open(remote);
  else
    da_remote_streams_close(remote);
}

void da_remote_pause(da_remote *remote, bool paused)
{
  remote->paused = paused;
  da_remote_streams_pause(remote);
}

da_slice da_remote_target(const da_remote *remote, size_t group)
{
  return remote->targets[group];
}

da_remote_stats da_remote_get_stats(const da_remote *remote)
{
  da_remote_stats stats = remote->stats;
  stats.held = remote->held.count;
  stats.listening = remote->listens.count;
  for (size_t i = 0; i <= remote->options.lanes; i++) stats.waiting += remote->lanes[i].count;
  return stats;
}

void da_remote_let_go(da_remote *remote)
{
  if (--remote->handles > 0 || !remote->closing) return;
  if (remote->closed != NULL) remote->closed(remote->closed_user);
}

static void on_handle_closed(uv_handle_t *handle)
{
  da_remote_let_go(handle->data);
}

static void close_calls(da_remote_lane *lane)
{
  drop_http(lane);
  while (lane->first != NULL) take_answer(lane->first, NULL, NULL);
  da_remote_close_ops(lane);
}

void da_remote_close(da_remote *remote, void (*closed)(void *user), void *user)
{
  remote->closing = true;
  remote->closed = closed;
  remote->closed_user = user;
  remote->handles++;
  da_remote_streams_close(remote);
  da_remote_streams_destroy(remote);
  for (size_t i = 0; i <= remote->options.lanes; i++) close_calls(&remote->lanes[i]);
  uv_close((uv_handle_t *)&remote->retry, on_handle_closed);
  uv_close((uv_handle_t *)&remote->tick, on_handle_closed);
  da_remote_let_go(remote);
}

void da_remote_delete(da_remote *remote)
{
  if (remote == NULL) return;
  da_remote_free_tasks(remote);
  free(remote->lanes);
  free(remote->streams);
  da_arena_free(&remote->arena);
  free(remote);
}
