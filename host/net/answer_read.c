/* answer_read.c - answers and messages of a server from the protocol's JSON (envelope_client.h).
 *
 * How:      one walk over each object; what is not known is passed over, what must be there and is not is a fault: a
 *           caller may look at all that an answer to its kind of request has, whatever a server sent.
 * Older servers write null where a member should be absent, and `resumes` as a list or a boolean: both are taken.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "../base/json.h"
#include "../base/json_read.h"
#include "envelope_client.h"
#include "envelope_parts.h"

typedef struct reading {
  da_arena *arena;
  da_err *err;
  bool inner; /* within the action of a fence */
} reading;

/* ---- members ------------------------------------------------------------------------------------------- */

static bool fault(reading *r, const char *what, const char *where)
{
  (void)da_fail(r->err, DA_EINVAL, "%s in %s", what, where);
  return false;
}

static bool read_text(reading *r, da_json_item item, da_slice *out, const char *where)
{
  if (item.kind != DA_JSON_STRING) return fault(r, "no string where one belongs", where);
  *out = da_json_item_string(item, r->arena);
  return true;
}

static bool read_int(reading *r, da_json_item item, int64_t *out, const char *where)
{
  return da_json_item_int(item, out) || fault(r, "no whole number where one belongs", where);
}

static bool read_map(reading *r, da_json_item item, da_map *out, const char *where)
{
  size_t count = 0;
  da_slice name;
  da_json_item member;
  if (item.kind != DA_JSON_OBJECT) return fault(r, "no object of strings where one belongs", where);
  for (da_json_walk walk = da_json_walk_of(item); da_json_walk_next(&walk, r->arena, &name, &member);) count++;
  da_pair *pairs = da_arena_alloc(r->arena, (count + 1) * sizeof *pairs);
  count = 0;
  for (da_json_walk walk = da_json_walk_of(item); da_json_walk_next(&walk, r->arena, &name, &member); count++) {
    pairs[count].key = name;
    if (!read_text(r, member, &pairs[count].value, where)) return false;
  }
  *out = (da_map){pairs, count};
  return true;
}

static bool read_value(reading *r, da_json_item item, da_value *out)
{
  da_slice name;
  da_json_item member;
  *out = (da_value){.encoding = DA_RAW};
  if (item.kind != DA_JSON_OBJECT) return fault(r, "no object where one belongs", "a value");
  for (da_json_walk walk = da_json_walk_of(item); da_json_walk_next(&walk, r->arena, &name, &member);) {
    if (member.kind == DA_JSON_NULL) continue;
    if (da_slice_eq(name, DA_LIT("headers"))) {
      out->has_headers = true;
      if (!read_map(r, member, &out->headers, "headers")) return false;
    } else if (da_slice_eq(name, DA_LIT("data"))) {
      out->has_data = true;
      out->encoding = DA_RAW;
      if (!read_text(r, member, &out->data, "a value")) return false;
      (void)da_envelope_decode(r->arena, out);
    }
  }
  return true;
}

/* ---- records ------------------------------------------------------------------------------------------- */

/* A number that must be there and was not told yet. */
#define UNTOLD INT64_MIN

static bool read_promise_state(reading *r, da_json_item item, da_promise_state *out)
{
  da_slice name;
  if (!read_text(r, item, &name, "a promise's state")) return false;
  for (int state = DA_PENDING; state <= DA_TIMEDOUT; state++) {
    *out = (da_promise_state)state;
    if (da_slice_eq(name, da_slice_of(da_promise_state_name(*out)))) return true;
  }
  return fault(r, "a state that there is not", "a promise");
}

static bool read_promise_member(reading *r, da_slice name, da_json_item item, da_promise *out)
{
  static const char where[] = "a promise";
  if (da_slice_eq(name, DA_LIT("id"))) return read_text(r, item, &out->id, where);
  if (da_slice_eq(name, DA_LIT("state"))) return read_promise_state(r, item, &out->state);
  if (item.kind == DA_JSON_NULL) return true;
  if (da_slice_eq(name, DA_LIT("param"))) return read_value(r, item, &out->param);
  if (da_slice_eq(name, DA_LIT("value"))) return read_value(r, item, &out->value);
  if (da_slice_eq(name, DA_LIT("tags"))) return read_map(r, item, &out->tags, "tags");
  if (da_slice_eq(name, DA_LIT("timeoutAt"))) return read_int(r, item, &out->timeout_at, where);
  if (da_slice_eq(name, DA_LIT("createdAt"))) return read_int(r, item, &out->created_at, where);
  if (da_slice_eq(name, DA_LIT("settledAt"))) return read_int(r, item, &out->settled_at, where);
  return true;
}

static bool read_promise(reading *r, da_json_item item, void *to)
{
  da_promise *out = to;
  da_slice name;
  da_json_item member;
  bool state = false;
  *out = (da_promise){.timeout_at = UNTOLD};
  if (item.kind != DA_JSON_OBJECT) return fault(r, "no promise where one belongs", "the answer");
  for (da_json_walk walk = da_json_walk_of(item); da_json_walk_next(&walk, r->arena, &name, &member);) {
    if (!read_promise_member(r, name, member, out)) return false;
    state = state || da_slice_eq(name, DA_LIT("state"));
  }
  return (out->id.ptr != NULL && state && out->timeout_at != UNTOLD) ||
         fault(r, "no id, state or timeoutAt", "a promise");
}

static bool read_task_state(reading *r, da_json_item item, da_task_state *out)
{
  da_slice name;
  if (!read_text(r, item, &name, "a task's state")) return false;
  for (int state = DA_TASK_PENDING; state <= DA_TASK_FULFILLED; state++) {
    *out = (da_task_state)state;
    if (da_slice_eq(name, da_slice_of(da_task_state_name(*out)))) return true;
  }
  return fault(r, "a state that there is not", "a task");
}

static bool read_resumes(reading *r, da_json_item item, int64_t *out)
{
  *out = 0;
  if (item.kind == DA_JSON_NUMBER) return read_int(r, item, out, "a task");
  da_slice name;
  da_json_item element;
  if (item.kind == DA_JSON_ARRAY)
    for (da_json_walk walk = da_json_walk_of(item); da_json_walk_next(&walk, r->arena, &name, &element);) ++*out;
  if (item.kind == DA_JSON_BOOLEAN) *out = da_slice_eq(item.text, DA_LIT("true"));
  return true;
}

static bool read_task_member(reading *r, da_slice name, da_json_item item, da_task *out)
{
  if (da_slice_eq(name, DA_LIT("id"))) return read_text(r, item, &out->id, "a task");
  if (da_slice_eq(name, DA_LIT("state"))) return read_task_state(r, item, &out->state);
  if (item.kind == DA_JSON_NULL) return true;
  if (da_slice_eq(name, DA_LIT("version"))) return read_int(r, item, &out->version, "a task");
  if (da_slice_eq(name, DA_LIT("resumes"))) return read_resumes(r, item, &out->resumes);
  if (da_slice_eq(name, DA_LIT("ttl"))) return read_int(r, item, &out->ttl, "a task");
  if (da_slice_eq(name, DA_LIT("pid"))) return read_text(r, item, &out->pid, "a task");
  return true;
}

static bool read_task(reading *r, da_json_item item, void *to)
{
  da_task *out = to;
  da_slice name;
  da_json_item member;
  *out = (da_task){.version = UNTOLD};
  if (item.kind != DA_JSON_OBJECT) return fault(r, "no task where one belongs", "the answer");
  for (da_json_walk walk = da_json_walk_of(item); da_json_walk_next(&walk, r->arena, &name, &member);)
    if (!read_task_member(r, name, member, out)) return false;
  return (out->id.ptr != NULL && out->version != UNTOLD) || fault(r, "no id or version", "a task");
}

static bool read_schedule_member(reading *r, da_slice name, da_json_item item, da_schedule *out)
{
  static const char where[] = "a schedule";
  if (item.kind == DA_JSON_NULL) return true;
  if (da_slice_eq(name, DA_LIT("id"))) return read_text(r, item, &out->id, where);
  if (da_slice_eq(name, DA_LIT("cron"))) return read_text(r, item, &out->cron, where);
  if (da_slice_eq(name, DA_LIT("promiseId"))) return read_text(r, item, &out->promise_id, where);
  if (da_slice_eq(name, DA_LIT("promiseTimeout"))) return read_int(r, item, &out->promise_timeout, where);
  if (da_slice_eq(name, DA_LIT("promiseParam"))) return read_value(r, item, &out->promise_param);
  if (da_slice_eq(name, DA_LIT("promiseTags"))) return read_map(r, item, &out->promise_tags, "promiseTags");
  if (da_slice_eq(name, DA_LIT("createdAt"))) return read_int(r, item, &out->created_at, where);
  if (da_slice_eq(name, DA_LIT("nextRunAt"))) return read_int(r, item, &out->next_run_at, where);
  if (da_slice_eq(name, DA_LIT("lastRunAt"))) return read_int(r, item, &out->last_run_at, where);
  return true;
}

static bool read_schedule(reading *r, da_json_item item, void *to)
{
  da_schedule *out = to;
  da_slice name;
  da_json_item member;
  *out = (da_schedule){0};
  if (item.kind != DA_JSON_OBJECT) return fault(r, "no schedule where one belongs", "the answer");
  for (da_json_walk walk = da_json_walk_of(item); da_json_walk_next(&walk, r->arena, &name, &member);)
    if (!read_schedule_member(r, name, member, out)) return false;
  return out->id.ptr != NULL || fault(r, "no id", "a schedule");
}

/* ---- lists --------------------------------------------------------------------------------------------- */

static size_t length_of(reading *r, da_json_item item)
{
  size_t count = 0;
  da_slice name;
  da_json_item element;
  for (da_json_walk walk = da_json_walk_of(item); da_json_walk_next(&walk, r->arena, &name, &element);) count++;
  return count;
}

/* An array of records, each `size` bytes in memory; NULL: a fault. */
static void *read_list(reading *r, da_json_item item, bool (*read)(reading *r, da_json_item item, void *to),
                       size_t size, size_t *count)
{
  *count = 0;
  if (item.kind != DA_JSON_ARRAY) {
    (void)fault(r, "no list where one belongs", "the answer");
    return NULL;
  }
  char *list = da_arena_alloc(r->arena, length_of(r, item) * size);
  da_slice name;
  da_json_item element;
  for (da_json_walk walk = da_json_walk_of(item); da_json_walk_next(&walk, r->arena, &name, &element); ++*count)
    if (!read(r, element, list + *count * size)) return NULL;
  return list;
}

static bool read_promises(reading *r, da_json_item item, const da_promise **list, size_t *count)
{
  *list = read_list(r, item, read_promise, sizeof **list, count);
  return *list != NULL;
}

static bool read_tasks(reading *r, da_json_item item, da_reply *out)
{
  out->tasks = read_list(r, item, read_task, sizeof *out->tasks, &out->task_count);
  return out->tasks != NULL;
}

static bool read_schedules(reading *r, da_json_item item, da_reply *out)
{
  out->schedules = read_list(r, item, read_schedule, sizeof *out->schedules, &out->schedule_count);
  return out->schedules != NULL;
}

/* ---- data ---------------------------------------------------------------------------------------------- */

static bool read_inner(reading *r, da_json_item item, da_reply *out);

static bool read_data_member(reading *r, da_slice name, da_json_item item, da_reply *out)
{
  if (item.kind == DA_JSON_NULL) return true;
  if (da_slice_eq(name, DA_LIT("promise"))) {
    da_promise *promise = da_arena_alloc(r->arena, sizeof *promise);
    out->promise = promise;
    return read_promise(r, item, promise);
  }
  if (da_slice_eq(name, DA_LIT("task"))) {
    da_task *task = da_arena_alloc(r->arena, sizeof *task);
    out->task = task;
    return read_task(r, item, task);
  }
  if (da_slice_eq(name, DA_LIT("schedule"))) {
    da_schedule *schedule = da_arena_alloc(r->arena, sizeof *schedule);
    out->schedule = schedule;
    return read_schedule(r, item, schedule);
  }
  if (da_slice_eq(name, DA_LIT("preload"))) {
    out->has_preload = true;
    return read_promises(r, item, &out->preload, &out->preload_count);
  }
  if (da_slice_eq(name, DA_LIT("action"))) return read_inner(r, item, out);
  if (da_slice_eq(name, DA_LIT("promises"))) return read_promises(r, item, &out->promises, &out->promise_count);
  if (da_slice_eq(name, DA_LIT("tasks"))) return read_tasks(r, item, out);
  if (da_slice_eq(name, DA_LIT("schedules"))) return read_schedules(r, item, out);
  if (da_slice_eq(name, DA_LIT("cursor"))) {
    da_slice cursor;
    out->more = true;
    return read_text(r, item, &cursor, "the answer");
  }
  return true;
}

static bool read_data(reading *r, da_json_item item, da_reply *out)
{
  da_slice name;
  da_json_item member;
  if (out->status != 200 && out->status != 300) {
    out->message = item.kind == DA_JSON_STRING ? da_json_item_string(item, r->arena) : item.text;
    return true;
  }
  if (item.kind != DA_JSON_OBJECT) return fault(r, "no object as its data", "the answer");
  for (da_json_walk walk = da_json_walk_of(item); da_json_walk_next(&walk, r->arena, &name, &member);)
    if (!read_data_member(r, name, member, out)) return false;
  return true;
}

static bool read_head(reading *r, da_json_item item, da_client_answer *out)
{
  da_slice name;
  da_json_item member;
  int64_t status = 0;
  if (item.kind != DA_JSON_OBJECT) return fault(r, "no head", "the answer");
  for (da_json_walk walk = da_json_walk_of(item); da_json_walk_next(&walk, r->arena, &name, &member);) {
    if (da_slice_eq(name, DA_LIT("corrId")) && !read_text(r, member, &out->corr_id, "the head")) return false;
    if (da_slice_eq(name, DA_LIT("status")) && !read_int(r, member, &status, "the head")) return false;
    if (da_slice_eq(name, DA_LIT("dahost:preload")) && member.kind == DA_JSON_STRING)
      out->whole = da_slice_eq(da_json_item_string(member, r->arena), DA_LIT("whole"));
  }
  if (status < 100 || status > 599) return fault(r, "no status", "the head");
  out->reply.status = (int)status;
  return true;
}

/* What the caller of a request of that kind looks at without asking. */
static bool is_complete(da_req_kind kind, const da_reply *reply)
{
  if (reply->status != 200) return reply->status != 300 || kind == DA_REQ_TASK_SUSPEND;
  switch (kind) {
  case DA_REQ_PROMISE_GET:
  case DA_REQ_PROMISE_CREATE:
  case DA_REQ_PROMISE_SETTLE:
  case DA_REQ_PROMISE_REGISTER_CALLBACK:
  case DA_REQ_PROMISE_REGISTER_LISTENER:
  case DA_REQ_TASK_FULFILL:
  case DA_REQ_TASK_CREATE: /* which has no task if the promise was there and settled */
    return reply->promise != NULL;
  case DA_REQ_TASK_ACQUIRE:
    return reply->promise != NULL && reply->task != NULL;
  case DA_REQ_TASK_GET:
    return reply->task != NULL;
  case DA_REQ_TASK_FENCE:
    return reply->inner != NULL;
  case DA_REQ_SCHEDULE_GET:
  case DA_REQ_SCHEDULE_CREATE:
    return reply->schedule != NULL;
  case DA_REQ_PROMISE_SEARCH:
    return reply->promises != NULL;
  case DA_REQ_TASK_SEARCH:
    return reply->tasks != NULL;
  case DA_REQ_SCHEDULE_SEARCH:
    return reply->schedules != NULL;
  default:
    return true;
  }
}

static bool read_answer(reading *r, da_json_item item, da_req_kind kind, da_client_answer *out)
{
  da_slice name;
  da_json_item member, head = {0}, data = {0};
  if (item.kind != DA_JSON_OBJECT) return fault(r, "no object", "the answer");
  for (da_json_walk walk = da_json_walk_of(item); da_json_walk_next(&walk, r->arena, &name, &member);) {
    if (da_slice_eq(name, DA_LIT("head"))) head = member;
    if (da_slice_eq(name, DA_LIT("data"))) data = member;
  }
  if (head.text.len == 0) return fault(r, "no head", "the answer");
  if (!read_head(r, head, out)) return false;
  da_reply *reply = &out->reply;
  bool refusal = reply->status != 200 && reply->status != 300;
  if (data.text.len == 0 && !refusal) return fault(r, "no data", "the answer");
  if (data.text.len == 0)
    reply->message = DA_LIT("no reason was given"); /* the status is what counts */
  else if (!read_data(r, data, reply))
    return false;
  reply->more = reply->more && reply->promise_count + reply->task_count + reply->schedule_count > 0;
  return is_complete(kind, reply) || fault(r, "no record that belongs there, or no such status", "the answer");
}

/* Both of the actions are answered with a promise. A fence within a fence has no place: this is as deep as it goes. */
static bool read_inner(reading *r, da_json_item item, da_reply *out)
{
  if (r->inner) return true;
  da_client_answer *inner = da_arena_zalloc(r->arena, sizeof *inner);
  r->inner = true;
  if (!read_answer(r, item, DA_REQ_PROMISE_GET, inner)) return false;
  r->inner = false;
  out->inner = &inner->reply;
  return true;
}

bool da_envelope_read_answer(da_slice text, da_req_kind kind, da_arena *arena, da_client_answer *out, da_err *err)
{
  reading r = {.arena = arena, .err = err};
  *out = (da_client_answer){0};
  if (da_json_check(text, err) != DA_OK || !read_answer(&r, da_json_item_of(text), kind, out)) return false;
  out->reply.preload_whole = out->whole;
  return true;
}

/* ---- messages ------------------------------------------------------------------------------------------ */

static bool find(reading *r, da_json_item object, const char *wanted, da_json_item *out)
{
  da_slice name;
  da_json_item member;
  if (object.kind != DA_JSON_OBJECT) return fault(r, "no object where one belongs", "the message");
  for (da_json_walk walk = da_json_walk_of(object); da_json_walk_next(&walk, r->arena, &name, &member);) {
    if (!da_slice_eq(name, da_slice_of(wanted))) continue;
    *out = member;
    return true;
  }
  return fault(r, "a member is missing", "the message");
}

bool da_envelope_read_message(da_slice text, da_arena *arena, da_message *message, da_promise *promise, da_err *err)
{
  reading r = {.arena = arena, .err = err};
  da_json_item kind, data, record;
  da_slice name;
  *message = (da_message){0};
  if (da_json_check(text, err) != DA_OK) return false;
  if (!find(&r, da_json_item_of(text), "kind", &kind) || !find(&r, da_json_item_of(text), "data", &data)) return false;
  if (!read_text(&r, kind, &name, "the message")) return false;
  if (da_slice_eq(name, DA_LIT("execute"))) {
    da_task task;
    if (!find(&r, data, "task", &record) || !read_task(&r, record, &task)) return false;
    message->kind = DA_EXECUTE;
    message->id = task.id;
    message->version = task.version;
    return true;
  }
  if (!da_slice_eq(name, DA_LIT("unblock"))) return fault(&r, "a kind that there is not", "the message");
  if (!find(&r, data, "promise", &record) || !read_promise(&r, record, promise)) return false;
  message->kind = DA_UNBLOCK;
  message->id = promise->id;
  return true;
}
