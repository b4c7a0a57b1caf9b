/* envelope_write.c - answers, records and messages as the protocol's JSON.
 *
 * Absent members stay absent, never null. Members inside of `data` are in alphabetical order, so that answers can be
 * compared byte by byte; text that is not UTF-8 (ids and tags made in this process may hold any bytes) has U+FFFD in
 * the place of each malformed byte, for a peer could not read the answer else.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../base/text.h"
#include "envelope_parts.h"

/* ---- members ------------------------------------------------------------------------------------------- */

void da_put(da_buf *out, const char *text)
{
  da_buf_add(out, text, strlen(text));
}

/* `name` is its own JSON, with the comma or bracket before it: ",\"id\":". */
void da_put_text(da_buf *out, const char *name, da_slice text)
{
  da_put(out, name);
  da_text_quote_lossy(out, text);
}

void da_put_int(da_buf *out, const char *name, int64_t value)
{
  da_put(out, name);
  da_buf_reserve(out, DA_TEXT_INT_MAX);
  out->len += da_text_int(out->ptr + out->len, value);
}

static int by_key(const void *a, const void *b)
{
  return da_slice_cmp(((const da_pair *)a)->key, ((const da_pair *)b)->key);
}

static void put_pairs(da_buf *out, const da_pair *items, size_t count)
{
  da_buf_add_byte(out, '{');
  for (size_t i = 0; i < count; i++) {
    if (i > 0) da_buf_add_byte(out, ',');
    da_text_quote_lossy(out, items[i].key);
    da_buf_add_byte(out, ':');
    da_text_quote_lossy(out, items[i].value);
  }
  da_buf_add_byte(out, '}');
}

/* What came over the wire is sorted already, and so is nearly all that this process makes. */
void da_put_map(da_buf *out, const char *name, da_map map)
{
  bool sorted = true;
  da_put(out, name);
  for (size_t i = 1; i < map.count && sorted; i++) sorted = by_key(&map.items[i - 1], &map.items[i]) <= 0;
  if (sorted) {
    put_pairs(out, map.items, map.count);
    return;
  }
  da_pair *copy = da_xmalloc(map.count * sizeof *copy);
  memcpy(copy, map.items, map.count * sizeof *copy);
  qsort(copy, map.count, sizeof *copy, by_key);
  put_pairs(out, copy, map.count);
  free(copy);
}

void da_put_value(da_buf *out, const char *name, const da_value *value)
{
  da_put(out, name);
  da_buf_add_byte(out, '{');
  if (value->has_data && value->encoding == DA_JSON) {
    da_put(out, "\"data\":\"");
    da_text_base64(out, value->data);
    da_buf_add_byte(out, '"');
  } else if (value->has_data) {
    da_put_text(out, "\"data\":", value->data);
  }
  if (value->has_headers) da_put_map(out, value->has_data ? ",\"headers\":" : "\"headers\":", value->headers);
  da_buf_add_byte(out, '}');
}

/* ---- records ------------------------------------------------------------------------------------------- */

void da_envelope_write_promise(da_buf *out, const da_promise *promise)
{
  da_put_int(out, "{\"createdAt\":", promise->created_at);
  da_put_text(out, ",\"id\":", promise->id);
  da_put_value(out, ",\"param\":", &promise->param);
  if (promise->state != DA_PENDING) da_put_int(out, ",\"settledAt\":", promise->settled_at);
  da_put_text(out, ",\"state\":", da_slice_of(da_promise_state_name(promise->state)));
  da_put_map(out, ",\"tags\":", promise->tags);
  da_put_int(out, ",\"timeoutAt\":", promise->timeout_at);
  da_put_value(out, ",\"value\":", &promise->value);
  da_buf_add_byte(out, '}');
}

void da_envelope_write_task(da_buf *out, const da_task *task)
{
  bool acquired = task->state == DA_TASK_ACQUIRED;
  da_put_text(out, "{\"id\":", task->id);
  if (acquired) da_put_text(out, ",\"pid\":", task->pid);
  da_put_int(out, ",\"resumes\":", task->resumes);
  da_put_text(out, ",\"state\":", da_slice_of(da_task_state_name(task->state)));
  if (acquired) da_put_int(out, ",\"ttl\":", task->ttl);
  da_put_int(out, ",\"version\":", task->version);
  da_buf_add_byte(out, '}');
}

void da_envelope_write_schedule(da_buf *out, const da_schedule *schedule)
{
  da_put_int(out, "{\"createdAt\":", schedule->created_at);
  da_put_text(out, ",\"cron\":", schedule->cron);
  da_put_text(out, ",\"id\":", schedule->id);
  if (schedule->last_run_at != 0) da_put_int(out, ",\"lastRunAt\":", schedule->last_run_at);
  da_put_int(out, ",\"nextRunAt\":", schedule->next_run_at);
  da_put_text(out, ",\"promiseId\":", schedule->promise_id);
  da_put_value(out, ",\"promiseParam\":", &schedule->promise_param);
  da_put_map(out, ",\"promiseTags\":", schedule->promise_tags);
  da_put_int(out, ",\"promiseTimeout\":", schedule->promise_timeout);
  da_buf_add_byte(out, '}');
}

/* ---- data of a successful answer ----------------------------------------------------------------------- */

static void write_promise_data(da_buf *out, const da_reply *reply)
{
  DA_ASSERT(reply->promise != NULL);
  da_put(out, "{\"promise\":");
  da_envelope_write_promise(out, reply->promise);
  da_buf_add_byte(out, '}');
}

static void write_preload(da_buf *out, const da_reply *reply)
{
  da_put(out, "\"preload\":[");
  for (size_t i = 0; i < reply->preload_count; i++) {
    if (i > 0) da_buf_add_byte(out, ',');
    da_envelope_write_promise(out, &reply->preload[i]);
  }
  da_buf_add_byte(out, ']');
}

/* Of task.create and task.acquire. */
static void write_lease(da_buf *out, const da_reply *reply)
{
  DA_ASSERT(reply->promise != NULL);
  da_buf_add_byte(out, '{');
  write_preload(out, reply);
  da_put(out, ",\"promise\":");
  da_envelope_write_promise(out, reply->promise);
  if (reply->task != NULL) {
    da_put(out, ",\"task\":");
    da_envelope_write_task(out, reply->task);
  }
  da_buf_add_byte(out, '}');
}

static bool is_success(const da_reply *reply)
{
  return reply->status == 200 || reply->status == 300;
}

/* The action's answer in an envelope of its own. */
static void write_fence(da_buf *out, const da_envelope *envelope, const da_reply *reply)
{
  const da_reply *inner = reply->inner;
  DA_ASSERT(inner != NULL);
  da_put(out, "{\"action\":{\"data\":");
  if (is_success(inner))
    write_promise_data(out, inner);
  else
    da_text_quote_lossy(out, inner->message);
  da_put_text(out, ",\"head\":{\"corrId\":", envelope->corr_id);
  da_put_int(out, ",\"status\":", inner->status);
  da_put(out, ",\"version\":\"" DA_PROTOCOL_VERSION "\"},\"kind\":");
  da_put(out, envelope->request.fence_settles ? "\"promise.settle\"" : "\"promise.create\"");
  da_put(out, "},");
  write_preload(out, reply);
  da_buf_add_byte(out, '}');
}

/* The cursor is the last id, if more follow it. */
static void begin_rows(da_buf *out, const char *member, bool more, da_slice last)
{
  da_buf_add_byte(out, '{');
  if (more) {
    da_put_text(out, "\"cursor\":", last);
    da_buf_add_byte(out, ',');
  }
  da_put(out, member);
}

static void write_schedules(da_buf *out, const da_reply *reply)
{
  bool more = reply->more && reply->schedule_count > 0;
  begin_rows(out, "\"schedules\":[", more, more ? reply->schedules[reply->schedule_count - 1].id : DA_NONE);
  for (size_t i = 0; i < reply->schedule_count; i++) {
    if (i > 0) da_buf_add_byte(out, ',');
    da_envelope_write_schedule(out, &reply->schedules[i]);
  }
  da_put(out, "]}");
}

static void write_promises(da_buf *out, const da_reply *reply)
{
  bool more = reply->more && reply->promise_count > 0;
  begin_rows(out, "\"promises\":[", more, more ? reply->promises[reply->promise_count - 1].id : DA_NONE);
  for (size_t i = 0; i < reply->promise_count; i++) {
    if (i > 0) da_buf_add_byte(out, ',');
    da_envelope_write_promise(out, &reply->promises[i]);
  }
  da_put(out, "]}");
}

static void write_tasks(da_buf *out, const da_reply *reply)
{
  bool more = reply->more && reply->task_count > 0;
  begin_rows(out, "\"tasks\":[", more, more ? reply->tasks[reply->task_count - 1].id : DA_NONE);
  for (size_t i = 0; i < reply->task_count; i++) {
    if (i > 0) da_buf_add_byte(out, ',');
    da_envelope_write_task(out, &reply->tasks[i]);
  }
  da_put(out, "]}");
}

static void write_success(da_buf *out, const da_envelope *envelope, const da_reply *reply)
{
  switch (envelope->request.kind) {
  case DA_REQ_PROMISE_GET:
  case DA_REQ_PROMISE_CREATE:
  case DA_REQ_PROMISE_SETTLE:
  case DA_REQ_PROMISE_REGISTER_CALLBACK:
  case DA_REQ_PROMISE_REGISTER_LISTENER:
  case DA_REQ_TASK_FULFILL:
    write_promise_data(out, reply);
    break;
  case DA_REQ_TASK_GET:
    DA_ASSERT(reply->task != NULL);
    da_put(out, "{\"task\":");
    da_envelope_write_task(out, reply->task);
    da_buf_add_byte(out, '}');
    break;
  case DA_REQ_TASK_CREATE:
  case DA_REQ_TASK_ACQUIRE:
    write_lease(out, reply);
    break;
  case DA_REQ_TASK_SUSPEND:
    da_buf_add_byte(out, '{');
    if (reply->status == 300) write_preload(out, reply);
    da_buf_add_byte(out, '}');
    break;
  case DA_REQ_TASK_FENCE:
    write_fence(out, envelope, reply);
    break;
  case DA_REQ_SCHEDULE_GET:
  case DA_REQ_SCHEDULE_CREATE:
    DA_ASSERT(reply->schedule != NULL);
    da_put(out, "{\"schedule\":");
    da_envelope_write_schedule(out, reply->schedule);
    da_buf_add_byte(out, '}');
    break;
  case DA_REQ_PROMISE_SEARCH:
    write_promises(out, reply);
    break;
  case DA_REQ_TASK_SEARCH:
    write_tasks(out, reply);
    break;
  case DA_REQ_SCHEDULE_SEARCH:
    write_schedules(out, reply);
    break;
  case DA_REQ_TASK_RELEASE:
  case DA_REQ_TASK_HEARTBEAT:
  case DA_REQ_TASK_HALT:
  case DA_REQ_TASK_CONTINUE:
  case DA_REQ_SCHEDULE_DELETE:
    da_put(out, "{}");
    break;
  case DA_REQ_SCHEDULE_DECLARE: /* this and what follows is in process only: no envelope asks for it */
  case DA_REQ_TASK_STEP:
  case DA_REQ_TASK_SPAWN:
  case DA_REQ_TASK_AGAIN:
  case DA_REQ_QUEUE_WAIT:
  case DA_REQ_QUEUE_PUT:
  case DA_REQ_QUEUE_BACK:
  case DA_REQ_SWEEP:
  case DA_REQ_RECOVER:
  case DA_REQ_CLAIM:
  case DA_REQ_SENT:
    DA_ASSERT(false);
  }
}

/* ---- envelopes ----------------------------------------------------------------------------------------- */

static void begin(da_buf *out, const da_envelope *envelope, int status, bool whole)
{
  da_put_text(out, "{\"kind\":", envelope->kind);
  da_put_text(out, ",\"head\":{\"corrId\":", envelope->corr_id);
  da_put_int(out, ",\"status\":", status);
  da_put(out, ",\"version\":\"" DA_PROTOCOL_VERSION "\"");
  if (whole) da_put(out, ",\"dahost:preload\":\"whole\"");
  da_put(out, "},\"data\":");
}

void da_envelope_write(da_buf *out, const da_envelope *envelope, const da_reply *reply)
{
  if (!is_success(reply)) {
    da_envelope_write_error(out, envelope, reply->status, reply->message);
    return;
  }
  begin(out, envelope, reply->status, reply->preload_whole);
  write_success(out, envelope, reply);
  da_buf_add_byte(out, '}');
}

void da_envelope_write_data(da_buf *out, const da_envelope *envelope, int status, da_slice json)
{
  begin(out, envelope, status, false);
  da_buf_add_slice(out, json);
  da_buf_add_byte(out, '}');
}

void da_envelope_write_error(da_buf *out, const da_envelope *envelope, int status, da_slice message)
{
  begin(out, envelope, status, false);
  da_text_quote_lossy(out, message);
  da_buf_add_byte(out, '}');
}

/* ---- messages ------------------------------------------------------------------------------------------ */

void da_envelope_write_message(da_buf *out, const da_message *message, const da_promise *promise, da_slice server_url)
{
  if (message->kind == DA_UNBLOCK) {
    DA_ASSERT(promise != NULL);
    da_put(out, "{\"data\":{\"promise\":");
    da_envelope_write_promise(out, promise);
    da_put(out, "},\"head\":{},\"kind\":\"unblock\"}");
    return;
  }
  da_put_text(out, "{\"data\":{\"task\":{\"id\":", message->id);
  da_put_int(out, ",\"version\":", message->version);
  da_put(out, "}},\"head\":{");
  if (server_url.len > 0) da_put_text(out, "\"serverUrl\":", server_url);
  da_put(out, "},\"kind\":\"execute\"}");
}
