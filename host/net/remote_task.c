/* remote_task.c - what this process holds on the server, and what it wants to hear of.
 *
 * Held tasks get their heartbeats at a third of the lease. What is listened for is registered once, again whenever a
 * message may have been lost, again when its time is out (which makes some servers notice), and every minute.
 *
 * Threads:  the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../base/clock.h"
#include "../base/id.h"
#include "remote_parts.h"

enum { BEAT_MAX = 500, AGAIN_MS = 60000, POLL_MS = 5000, PIECE = 200 };

/* ---- held ---------------------------------------------------------------------------------------------- */

typedef struct da_remote_held {
  char *id;
  int64_t version;
  int64_t timeout_at;
  uint64_t since;
  char *watched; /* NULL: nothing */
  bool looking;
} da_remote_held;

static void free_held(da_remote_held *held)
{
  free(held->watched);
  free(held->id);
  free(held);
}

static void hold(da_remote *remote, const da_reply *reply)
{
  da_slice id = reply->task->id;
  da_remote_held *held = da_table_get(&remote->held, id);
  if (held == NULL) {
    held = da_xcalloc(1, sizeof *held);
    held->id = da_xstrndup(id);
    (void)da_table_put(&remote->held, da_slice_of(held->id), held);
  }
  held->version = reply->task->version;
  held->timeout_at = reply->promise->timeout_at;
  held->since = uv_now(remote->loop);
}

static bool let_loose(da_remote *remote, da_slice id)
{
  da_remote_held *held = da_table_remove(&remote->held, id);
  if (held == NULL) return false;
  free_held(held);
  return true;
}

void da_remote_forget(da_remote *remote, da_slice id)
{
  (void)let_loose(remote, id);
}

void da_remote_watch(da_remote *remote, da_slice id, da_slice promise_id)
{
  da_remote_held *held = da_table_get(&remote->held, id);
  if (held == NULL) return;
  free(held->watched);
  held->watched = da_xstrndup(promise_id);
}

void da_remote_note(da_remote *remote, const da_request *request, const da_reply *reply)
{
  bool acquires = request->kind == DA_REQ_TASK_ACQUIRE || request->kind == DA_REQ_TASK_CREATE;
  bool lets_go = request->kind == DA_REQ_TASK_FULFILL || request->kind == DA_REQ_TASK_RELEASE ||
                 request->kind == DA_REQ_TASK_HALT || request->kind == DA_REQ_TASK_SUSPEND;
  bool of_task = lets_go || request->kind == DA_REQ_TASK_FENCE || request->kind == DA_REQ_TASK_STEP ||
                 request->kind == DA_REQ_TASK_AGAIN;
  if (acquires && reply->status == 200 && reply->task != NULL && reply->task->state == DA_TASK_ACQUIRED)
    hold(remote, reply);
  if (lets_go && reply->status == 200) (void)let_loose(remote, request->id);
  if (of_task && (reply->status == 404 || reply->status == 409) && let_loose(remote, request->id))
    da_remote_tell(remote, DA_REMOTE_LEASE, request->id, reply->message);
}

static void beaten(da_remote_call *call, const da_client_answer *answer, da_arena *arena)
{
  da_remote *remote = call->lane->remote;
  (void)arena;
  if (answer == NULL || answer->reply.status != 400) return;
  if (!remote->beats_apart) remote->next_beat = 0; /* anew, one for each root */
  remote->beats_apart = true;
}

static void beat(da_remote *remote, const da_held *list, size_t count)
{
  const da_request request = {
      .kind = DA_REQ_TASK_HEARTBEAT, .pid = remote->options.pid, .held = list, .held_count = count};
  if (count > 0) (void)da_remote_ask(da_remote_lane_of(remote, DA_NONE), &request, NULL, beaten, NULL, NULL);
}

static int by_id(const void *a, const void *b)
{
  return da_slice_cmp(((const da_held *)a)->id, ((const da_held *)b)->id);
}

static void beat_all(da_remote *remote)
{
  da_held *list = da_xcalloc(remote->held.count + 1, sizeof *list);
  size_t count = 0;
  void *value;
  for (size_t i = 0; da_table_next(&remote->held, &i, &value);) {
    const da_remote_held *held = value;
    list[count++] = (da_held){da_slice_of(held->id), held->version};
  }
  if (remote->beats_apart) qsort(list, count, sizeof *list, by_id);
  for (size_t from = 0, to; from < count; from = to) {
    for (to = from + 1; to < count && to - from < BEAT_MAX; to++)
      if (remote->beats_apart && !da_slice_eq(da_id_root(list[from].id), da_id_root(list[to].id))) break;
    beat(remote, list + from, to - from);
  }
  free(list);
}

static void watched(da_remote_call *call, const da_client_answer *answer, da_arena *arena)
{
  da_remote *remote = call->lane->remote;
  char *id = call->user;
  da_remote_held *held = da_table_get(&remote->held, da_slice_of(id));
  (void)arena;
  if (held != NULL) held->looking = false;
  if (answer != NULL && answer->reply.status == 200 && answer->reply.promise->state != DA_PENDING) {
    if (held != NULL) {
      free(held->watched);
      held->watched = NULL;
    }
    da_remote_settled(remote, answer->reply.promise);
  }
  free(id);
}

static void look_at_watched(da_remote *remote, uint64_t period)
{
  void *value;
  for (size_t i = 0; da_table_next(&remote->held, &i, &value);) {
    da_remote_held *held = value;
    if (held->watched == NULL || held->looking || uv_now(remote->loop) - held->since < period) continue;
    const da_request get = {.kind = DA_REQ_PROMISE_GET, .id = da_slice_of(held->watched)};
    held->looking = true;
    (void)da_remote_ask(da_remote_lane_of(remote, DA_NONE), &get, NULL, watched, da_xstrndup(da_slice_of(held->id)),
                        NULL);
  }
}

/* What was left to its deadline (a timer) is nobody's any more behind it. */
static void drop_past(da_remote *remote)
{
  int64_t now = da_clock_now_ms();
  void *value;
  for (size_t i = 0; da_table_next(&remote->held, &i, &value);) {
    da_remote_held *held = value;
    if (now >= held->timeout_at) (void)let_loose(remote, da_slice_of(held->id));
  }
}

static void look_at_beat(da_remote *remote)
{
  uint64_t now = uv_now(remote->loop);
  uint64_t period = (uint64_t)(remote->options.ttl_ms / 3 > 0 ? remote->options.ttl_ms / 3 : 1);
  if (now < remote->next_beat || remote->waiting) return;
  remote->next_beat = now + period;
  drop_past(remote);
  beat_all(remote);
  look_at_watched(remote, period);
}

/* ---- listened for -------------------------------------------------------------------------------------- */

typedef struct da_remote_listen_row {
  char *id;
  char *subject;
  size_t count;
  bool asking;
  bool told;
  bool looks; /* the server takes no listener for it: it is looked at */
  uint64_t pause;
  uint64_t next; /* ms of the loop */
} da_remote_listen_row;

static void free_row(da_remote_listen_row *row)
{
  free(row->id);
  free(row->subject);
  free(row);
}

void da_remote_settled(da_remote *remote, const da_promise *promise)
{
  da_remote_listen_row *row = da_table_get(&remote->listens, promise->id);
  if (row != NULL && row->told) return;
  if (row != NULL) row->told = true;
  da_sched_tell_settled(remote->sched, promise);
}

static void plan_next(da_remote *remote, da_remote_listen_row *row, const da_promise *promise)
{
  uint64_t now = uv_now(remote->loop);
  int64_t left = promise->timeout_at - da_clock_now_ms();
  row->next = now + AGAIN_MS;
  if (left < AGAIN_MS) row->next = now + (left > 0 ? (uint64_t)left + 50 : 1000);
}

static void registered(da_remote_call *call, const da_client_answer *answer, da_arena *arena)
{
  da_remote *remote = call->lane->remote;
  char *id = call->user;
  da_remote_listen_row *row = da_table_get(&remote->listens, da_slice_of(id));
  (void)arena;
  free(id);
  if (row != NULL) row->asking = false;
  if (answer == NULL || row == NULL) return;
  const da_reply *reply = &answer->reply;
  if (reply->status == 200 && reply->promise->state != DA_PENDING) {
    da_remote_settled(remote, reply->promise);
  } else if (reply->status == 200 && !row->looks) {
    plan_next(remote, row, reply->promise);
  } else {
    row->looks = true;
    row->pause = row->pause == 0 ? POLL_MS : row->pause * 2 < AGAIN_MS ? row->pause * 2 : AGAIN_MS;
    row->next = uv_now(remote->loop) + row->pause;
  }
}

static void ask_row(da_remote *remote, da_remote_listen_row *row)
{
  da_buf address = {0};
  da_buf_addf(&address, "poll://uni@%.*s/%.*s", DA_FMT(remote->options.groups[0]), DA_FMT(remote->options.pid));
  const da_request request = {.kind = row->looks ? DA_REQ_PROMISE_GET : DA_REQ_PROMISE_REGISTER_LISTENER,
                              .id = da_slice_of(row->id),
                              .address = da_buf_slice(&address)};
  row->asking = true;
  row->next = uv_now(remote->loop) + AGAIN_MS;
  (void)da_remote_ask(da_remote_lane_of(remote, da_slice_of(row->subject)), &request, NULL, registered,
                      da_xstrndup(da_slice_of(row->id)), NULL);
  da_buf_free(&address);
}

void da_remote_listen(da_remote *remote, da_slice subject, da_slice id)
{
  da_remote_listen_row *row = da_table_get(&remote->listens, id);
  if (row == NULL) {
    row = da_xcalloc(1, sizeof *row);
    row->id = da_xstrndup(id);
    row->subject = da_xstrndup(subject);
    (void)da_table_put(&remote->listens, da_slice_of(row->id), row);
  }
  row->count++;
  row->told = false; /* to the one that comes now */
  if (!row->asking) ask_row(remote, row);
}

void da_remote_unlisten(da_remote *remote, da_slice id)
{
  da_remote_listen_row *row = da_table_get(&remote->listens, id);
  if (row == NULL || --row->count > 0) return;
  (void)da_table_remove(&remote->listens, id);
  free_row(row);
}

void da_remote_listen_again(da_remote *remote)
{
  void *value;
  for (size_t i = 0; da_table_next(&remote->listens, &i, &value);) ((da_remote_listen_row *)value)->next = 0;
}

static void look_at_listens(da_remote *remote)
{
  uint64_t now = uv_now(remote->loop);
  size_t asked = 0;
  void *value;
  for (size_t i = 0; da_table_next(&remote->listens, &i, &value) && asked < PIECE;) {
    da_remote_listen_row *row = value;
    if (row->told || row->asking || now < row->next) continue;
    ask_row(remote, row);
    asked++;
  }
}

void da_remote_on_tick(da_remote *remote)
{
  if (remote->closing) return;
  look_at_beat(remote);
  if (!remote->waiting) look_at_listens(remote);
}

void da_remote_free_tasks(da_remote *remote)
{
  void *value;
  for (size_t i = 0; da_table_next(&remote->held, &i, &value);) free_held(value);
  for (size_t i = 0; da_table_next(&remote->listens, &i, &value);) free_row(value);
  da_table_free(&remote->held);
  da_table_free(&remote->listens);
}
