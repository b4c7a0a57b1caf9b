/* envelope_read.c - the protocol's JSON to requests: envelope, scope of a token, data of each kind.
 *
 * How:      what an object may hold is a table of fields: a name, how it is read, where it goes. One loop reads any of
 *           them, so that all objects have the same faults in the same words. Each kind of request is a row of `kinds`.
 * Words:    the shape of what serde_json says, since that is what people who know the protocol have seen.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../base/json.h"
#include "../base/json_read.h"
#include "../base/limits.h"
#include "../base/text.h"
#include "envelope_parts.h"

enum { SHOWN_MAX = 60 }; /* bytes of what was sent in the words about it */

typedef struct reading {
  da_arena *arena;
  const char *at;  /* the member that is read: for the words */
  da_slice fault;  /* empty: none yet */
  da_slice kind;   /* of a fenced action */
  da_slice action; /* its data */
} reading;

typedef bool (*reader)(reading *r, da_json_item item, void *to);

typedef struct field {
  const char *name; /* NULL: the end of the table */
  reader read;
  size_t offset; /* of what it is read into */
  enum { REQUIRED, OPTIONAL, NULLABLE } presence;
} field;

/* ---- words of faults ----------------------------------------------------------------------------------- */

static bool fault(reading *r, da_slice words)
{
  r->fault = r->at == NULL ? words : da_arena_printf(r->arena, "%.*s at `%s`", DA_FMT(words), r->at);
  return false;
}

/* As much of it as is shown, not cut within a character. */
static da_slice shown(da_slice text, const char **dots)
{
  *dots = text.len > SHOWN_MAX ? "..." : "";
  if (text.len <= SHOWN_MAX) return text;
  size_t len = SHOWN_MAX;
  while (len > 0 && ((unsigned char)text.ptr[len] & 0xc0) == 0x80) len--;
  return da_slice_make(text.ptr, len);
}

static bool is_integer(da_slice token)
{
  for (size_t i = 0; i < token.len; i++)
    if (strchr(".eE", token.ptr[i]) != NULL) return false;
  return !da_slice_eq(token, DA_LIT("-0"));
}

static bool wrong_type(reading *r, da_json_item item, const char *expected)
{
  static const char *const names[] = {"null", "boolean", "floating point", "string", "array", "object"};
  const char *dots;
  const char *name = names[item.kind];
  bool string = item.kind == DA_JSON_STRING;
  da_slice text = shown(string ? da_json_item_string(item, r->arena) : item.text, &dots);
  if (item.kind == DA_JSON_NUMBER && is_integer(item.text)) name = "integer";
  if (item.kind == DA_JSON_BOOLEAN || item.kind == DA_JSON_NUMBER || string)
    return fault(r, da_arena_printf(r->arena, "invalid type: %s %s%.*s%s%s, expected %s", name, string ? "\"" : "`",
                                    DA_FMT(text), dots, string ? "\"" : "`", expected));
  return fault(r, da_arena_printf(r->arena, "invalid type: %s, expected %s", name, expected));
}

/* ---- objects ------------------------------------------------------------------------------------------- */

static size_t field_index(const field *fields, da_slice name)
{
  size_t i = 0;
  while (fields[i].name != NULL && !da_slice_eq(name, da_slice_of(fields[i].name))) i++;
  return i;
}

static bool read_member(reading *r, const field *f, da_json_item item, char *to)
{
  if (item.kind == DA_JSON_NULL && f->presence == NULLABLE) return true;
  r->at = f->name;
  return f->read(r, item, to + f->offset);
}

/* Members in the order in which they come, then those that are missing. `to` was zeroed. */
static bool read_object(reading *r, da_json_item item, const field *fields, void *to)
{
  if (item.kind != DA_JSON_OBJECT) return wrong_type(r, item, "an object");
  const char *at = r->at;
  unsigned seen = 0;
  da_slice name;
  da_json_item member;
  for (da_json_walk walk = da_json_walk_of(item); da_json_walk_next(&walk, r->arena, &name, &member);) {
    size_t i = field_index(fields, name);
    if (fields[i].name == NULL) continue;
    r->at = NULL;
    if ((seen & 1U << i) != 0) return fault(r, da_arena_printf(r->arena, "duplicate field `%s`", fields[i].name));
    seen |= 1U << i;
    if (!read_member(r, &fields[i], member, to)) return false;
  }
  r->at = NULL;
  for (size_t i = 0; fields[i].name != NULL; i++)
    if (fields[i].presence == REQUIRED && (seen & 1U << i) == 0)
      return fault(r, da_arena_printf(r->arena, "missing field `%s`", fields[i].name));
  r->at = at;
  return true;
}

/* ---- fields -------------------------------------------------------------------------------------------- */

static bool read_any(reading *r, da_json_item item, void *to)
{
  (void)r;
  (void)item;
  (void)to;
  return true;
}

/* The text of the member. */
static bool read_text(reading *r, da_json_item item, void *to)
{
  (void)r;
  *(da_slice *)to = item.text;
  return true;
}

static bool read_string(reading *r, da_json_item item, void *to)
{
  if (item.kind != DA_JSON_STRING) return wrong_type(r, item, "a string");
  *(da_slice *)to = da_json_item_string(item, r->arena);
  return true;
}

static bool read_int(reading *r, da_json_item item, void *to)
{
  const char *dots;
  if (da_json_item_int(item, to)) return true;
  if (item.kind != DA_JSON_NUMBER || !is_integer(item.text)) return wrong_type(r, item, "i64");
  da_slice text = shown(item.text, &dots);
  return fault(r, da_arena_printf(r->arena, "invalid value: integer `%.*s%s`, expected i64", DA_FMT(text), dots));
}

static bool read_limit(reading *r, da_json_item item, void *to)
{
  da_request *request = to;
  request->has_search_limit = true;
  return read_int(r, item, &request->search_limit);
}

/* *index: which of the names it is. */
static bool read_name(reading *r, da_json_item item, const char *(*name_of)(size_t i), size_t count, size_t *index)
{
  da_slice name;
  const char *dots;
  if (!read_string(r, item, &name)) return false;
  da_buf names = {0};
  for (*index = 0; *index < count; (*index)++) {
    if (da_slice_eq(name, da_slice_of(name_of(*index)))) break;
    da_buf_addf(&names, "%s`%s`", *index > 0 ? ", " : "", name_of(*index));
  }
  if (*index == count) {
    name = shown(name, &dots);
    (void)fault(r, da_arena_printf(r->arena, "unknown variant `%.*s%s`, expected one of %.*s", DA_FMT(name), dots,
                                   DA_FMT(da_buf_slice(&names))));
  }
  da_buf_free(&names);
  return *index < count;
}

static const da_promise_state verdicts[] = {DA_RESOLVED, DA_REJECTED, DA_CANCELED};

static const char *verdict_name(size_t i)
{
  return da_promise_state_name(verdicts[i]);
}

static bool read_verdict(reading *r, da_json_item item, void *to)
{
  size_t i;
  if (!read_name(r, item, verdict_name, sizeof verdicts / sizeof verdicts[0], &i)) return false;
  *(da_promise_state *)to = verdicts[i];
  return true;
}

static const char *promise_state_name(size_t i)
{
  return da_promise_state_name((da_promise_state)i);
}

static bool read_promise_state(reading *r, da_json_item item, void *to)
{
  size_t i;
  da_request *request = to;
  if (!read_name(r, item, promise_state_name, DA_TIMEDOUT + 1, &i)) return false;
  request->has_search_state = true;
  request->state = (da_promise_state)i;
  return true;
}

static const char *task_state_name(size_t i)
{
  return da_task_state_name((da_task_state)i);
}

static bool read_task_state(reading *r, da_json_item item, void *to)
{
  size_t i;
  da_request *request = to;
  if (!read_name(r, item, task_state_name, DA_TASK_FULFILLED + 1, &i)) return false;
  request->has_search_state = true;
  request->task_state = (da_task_state)i;
  return true;
}

/* ---- string maps --------------------------------------------------------------------------------------- */

typedef struct numbered {
  da_pair pair;
  size_t number;
} numbered;

static int by_key(const void *a, const void *b)
{
  const numbered *x = a;
  const numbered *y = b;
  int order = da_slice_cmp(x->pair.key, y->pair.key);
  return order != 0 ? order : x->number < y->number ? -1 : 1;
}

/* Sorted by key, as they are written; of a key that was told twice the last one counts. */
static da_map sorted_map(numbered *items, size_t count, da_arena *arena)
{
  bool sorted = true;
  for (size_t i = 1; i < count && sorted; i++) sorted = da_slice_cmp(items[i - 1].pair.key, items[i].pair.key) < 0;
  if (!sorted) qsort(items, count, sizeof *items, by_key);
  da_pair *pairs = da_arena_alloc(arena, count * sizeof *pairs);
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    if (kept > 0 && da_slice_eq(pairs[kept - 1].key, items[i].pair.key)) kept--;
    pairs[kept++] = items[i].pair;
  }
  return (da_map){pairs, kept};
}

static size_t length_of(reading *r, da_json_item item)
{
  size_t count = 0;
  da_slice name;
  da_json_item element;
  for (da_json_walk walk = da_json_walk_of(item); da_json_walk_next(&walk, r->arena, &name, &element);) count++;
  return count;
}

static bool read_map(reading *r, da_json_item item, void *to)
{
  if (item.kind != DA_JSON_OBJECT) return wrong_type(r, item, "an object of strings");
  numbered *items = da_arena_alloc(r->arena, length_of(r, item) * sizeof *items);
  size_t count = 0;
  da_slice name;
  da_json_item member;
  for (da_json_walk walk = da_json_walk_of(item); da_json_walk_next(&walk, r->arena, &name, &member); count++) {
    items[count] = (numbered){{name, DA_NONE}, count};
    if (!read_string(r, member, &items[count].pair.value)) return false;
  }
  *(da_map *)to = sorted_map(items, count, r->arena);
  return true;
}

/* ---- values -------------------------------------------------------------------------------------------- */

/* Line ends would be noise to a record that people are shown line by line. */
static bool is_json(da_slice text)
{
  if (text.len == 0) return true; /* how "undefined" is written: a function without a result */
  if (da_slice_find(text, '\n') >= 0 || da_slice_find(text, '\r') >= 0) return false;
  return da_json_check(text, NULL) == DA_OK;
}

/* Strict base64 has one spelling for the same bytes, so what was decoded is written back as it came. */
bool da_envelope_decode(da_arena *arena, da_value *value)
{
  ptrdiff_t len = da_text_base64_len(value->data);
  if (len < 0 || len > DA_VALUE_MAX) return false;
  char *bytes = da_arena_alloc(arena, (size_t)len);
  da_slice text = da_slice_make(bytes, (size_t)len);
  if (!da_text_base64_read(value->data, bytes) || !is_json(text)) return false;
  value->data = text;
  value->encoding = DA_JSON;
  return true;
}

static bool read_headers(reading *r, da_json_item item, void *to)
{
  da_value *value = to;
  value->has_headers = true;
  return read_map(r, item, &value->headers);
}

static bool read_value_data(reading *r, da_json_item item, void *to)
{
  da_value *value = to;
  value->has_data = true;
  if (!read_string(r, item, &value->data)) return false;
  if (da_envelope_decode(r->arena, value) || value->data.len <= DA_VALUE_MAX) return true;
  return fault(r, da_arena_printf(r->arena, "a value longer than %d MiB", DA_VALUE_MAX >> 20));
}

static const field value_fields[] = {
    {"headers", read_headers, 0, NULLABLE}, {"data", read_value_data, 0, NULLABLE}, {0}};

static bool read_value(reading *r, da_json_item item, void *to)
{
  return read_object(r, item, value_fields, to);
}

/* ---- requests: what their data holds ------------------------------------------------------------------- */

/* What stands between the braces of a field. WHOLE is given the request itself. */
#define MEMBER(name, read, member) name, read, offsetof(da_request, member), REQUIRED
#define MEMBER_OR_NOT(name, read, member) name, read, offsetof(da_request, member), OPTIONAL
#define MEMBER_OR_NULL(name, read, member) name, read, offsetof(da_request, member), NULLABLE
#define WHOLE(name, read) name, read, 0, REQUIRED

static const field id_fields[] = {{MEMBER("id", read_string, id)}, {0}};
static const field create_fields[] = {{MEMBER("id", read_string, id)},
                                      {MEMBER("timeoutAt", read_int, timeout_at)},
                                      {MEMBER_OR_NOT("param", read_value, param)},
                                      {MEMBER_OR_NOT("tags", read_map, tags)},
                                      {0}};
static const field create_action_fields[] = {{MEMBER("id", read_string, promise_id)},
                                             {MEMBER("timeoutAt", read_int, timeout_at)},
                                             {MEMBER_OR_NOT("param", read_value, param)},
                                             {MEMBER_OR_NOT("tags", read_map, tags)},
                                             {0}};
static const field settle_fields[] = {{MEMBER("id", read_string, id)},
                                      {MEMBER("state", read_verdict, state)},
                                      {MEMBER_OR_NOT("value", read_value, value)},
                                      {0}};
static const field settle_action_fields[] = {{MEMBER("id", read_string, promise_id)},
                                             {MEMBER("state", read_verdict, state)},
                                             {MEMBER_OR_NOT("value", read_value, value)},
                                             {0}};

static bool read_create(reading *r, da_json_item item, void *to)
{
  return read_object(r, item, create_fields, to);
}

static bool read_settle_action(reading *r, da_json_item item, void *to)
{
  return read_object(r, item, settle_action_fields, to);
}

/* An action's kind and head are there for whoever sends it on; nothing is asked of them. */
#define ACTION_KIND "kind", read_ignored_string, 0, OPTIONAL
#define ACTION_HEAD "head", read_any, 0, OPTIONAL
#define ACTION_DATA(read) "data", read, 0, REQUIRED

static bool read_ignored_string(reading *r, da_json_item item, void *to)
{
  (void)to;
  return item.kind == DA_JSON_STRING || wrong_type(r, item, "a string");
}

static const field task_create_action[] = {{ACTION_KIND}, {ACTION_HEAD}, {ACTION_DATA(read_create)}, {0}};
static const field task_fulfill_action[] = {{ACTION_KIND}, {ACTION_HEAD}, {ACTION_DATA(read_settle_action)}, {0}};

static bool read_create_in_action(reading *r, da_json_item item, void *to)
{
  return read_object(r, item, task_create_action, to);
}

static bool read_settle_in_action(reading *r, da_json_item item, void *to)
{
  return read_object(r, item, task_fulfill_action, to);
}

static const field fence_action[] = {{"kind", read_string, offsetof(reading, kind), REQUIRED},
                                     {ACTION_HEAD},
                                     {"data", read_text, offsetof(reading, action), REQUIRED},
                                     {0}};

static bool read_fence_action(reading *r, da_json_item item, void *to)
{
  (void)to;
  return read_object(r, item, fence_action, r);
}

/* ---- lists --------------------------------------------------------------------------------------------- */

static const field await_fields[] = {{"awaited", read_string, offsetof(da_await, awaited), REQUIRED},
                                     {"awaiter", read_string, offsetof(da_await, awaiter), REQUIRED},
                                     {0}};

static bool read_await(reading *r, da_json_item item, void *to)
{
  return read_object(r, item, await_fields, to);
}

static const field await_action[] = {{ACTION_KIND}, {ACTION_HEAD}, {ACTION_DATA(read_await)}, {0}};
static const field held_fields[] = {{"id", read_string, offsetof(da_held, id), REQUIRED},
                                    {"version", read_int, offsetof(da_held, version), REQUIRED},
                                    {0}};

/* An array of objects, each `size` bytes in memory. */
static void *read_list(reading *r, da_json_item item, const field *fields, size_t size, size_t *count)
{
  *count = 0;
  if (item.kind != DA_JSON_ARRAY) {
    (void)wrong_type(r, item, "an array");
    return NULL;
  }
  char *list = da_arena_zalloc(r->arena, length_of(r, item) * size);
  da_slice name;
  da_json_item element;
  for (da_json_walk walk = da_json_walk_of(item); da_json_walk_next(&walk, r->arena, &name, &element); (*count)++)
    if (!read_object(r, element, fields, list + *count * size)) return NULL;
  return list;
}

static bool read_awaits(reading *r, da_json_item item, void *to)
{
  da_request *request = to;
  request->awaits = read_list(r, item, await_action, sizeof(da_await), &request->await_count);
  return request->awaits != NULL;
}

static bool read_held(reading *r, da_json_item item, void *to)
{
  da_request *request = to;
  request->held = read_list(r, item, held_fields, sizeof(da_held), &request->held_count);
  return request->held != NULL;
}

/* ---- kinds --------------------------------------------------------------------------------------------- */

static const field callback_fields[] = {
    {MEMBER("awaited", read_string, id)}, {MEMBER("awaiter", read_string, awaiter)}, {0}};
static const field listener_fields[] = {
    {MEMBER("awaited", read_string, id)}, {MEMBER("address", read_string, address)}, {0}};
static const field task_create_fields[] = {
    {MEMBER("pid", read_string, pid)}, {MEMBER("ttl", read_int, ttl)}, {WHOLE("action", read_create_in_action)}, {0}};
static const field acquire_fields[] = {{MEMBER("id", read_string, id)},
                                       {MEMBER("version", read_int, version)},
                                       {MEMBER("pid", read_string, pid)},
                                       {MEMBER("ttl", read_int, ttl)},
                                       {0}};
static const field release_fields[] = {{MEMBER("id", read_string, id)}, {MEMBER("version", read_int, version)}, {0}};
static const field fulfill_fields[] = {{MEMBER("id", read_string, id)},
                                       {MEMBER("version", read_int, version)},
                                       {WHOLE("action", read_settle_in_action)},
                                       {0}};
static const field suspend_fields[] = {
    {MEMBER("id", read_string, id)}, {MEMBER("version", read_int, version)}, {WHOLE("actions", read_awaits)}, {0}};
static const field fence_fields[] = {
    {MEMBER("id", read_string, id)}, {MEMBER("version", read_int, version)}, {WHOLE("action", read_fence_action)}, {0}};
static const field heartbeat_fields[] = {{MEMBER("pid", read_string, pid)}, {WHOLE("tasks", read_held)}, {0}};
static const field schedule_fields[] = {{MEMBER("id", read_string, id)},
                                        {MEMBER("cron", read_string, cron)},
                                        {MEMBER("promiseId", read_string, promise_id)},
                                        {MEMBER("promiseTimeout", read_int, timeout_at)},
                                        {MEMBER_OR_NOT("promiseParam", read_value, param)},
                                        {MEMBER_OR_NOT("promiseTags", read_map, tags)},
                                        {0}};
static const field promise_search_fields[] = {{"state", read_promise_state, 0, NULLABLE},
                                              {MEMBER_OR_NULL("tags", read_map, tags)},
                                              {"limit", read_limit, 0, NULLABLE},
                                              {MEMBER_OR_NULL("cursor", read_string, search_after)},
                                              {0}};
static const field task_search_fields[] = {{"state", read_task_state, 0, NULLABLE},
                                           {"limit", read_limit, 0, NULLABLE},
                                           {MEMBER_OR_NULL("cursor", read_string, search_after)},
                                           {0}};
static const field schedule_search_fields[] = {{MEMBER_OR_NULL("tags", read_map, tags)},
                                               {"limit", read_limit, 0, NULLABLE},
                                               {MEMBER_OR_NULL("cursor", read_string, search_after)},
                                               {0}};

/* Where the ids are that a token's prefix must cover; a `*` stands for each element. */
enum { SCOPE_STEPS = 4 };
typedef struct scope_path {
  const char *steps[SCOPE_STEPS + 1];
} scope_path;

static const scope_path scope_id[] = {{{"id"}}, {{NULL}}};
static const scope_path scope_callback[] = {{{"awaited"}}, {{"awaiter"}}, {{NULL}}};
static const scope_path scope_listener[] = {{{"awaited"}}, {{NULL}}};
static const scope_path scope_create[] = {{{"action", "data", "id"}}, {{NULL}}};
static const scope_path scope_fence[] = {{{"id"}}, {{"action", "data", "id"}}, {{NULL}}};
static const scope_path scope_suspend[] = {{{"id"}}, {{"actions", "*", "data", "awaited"}}, {{NULL}}};
static const scope_path scope_heartbeat[] = {{{"tasks", "*", "id"}}, {{NULL}}};
static const scope_path scope_schedule[] = {{{"id"}}, {{"promiseId"}}, {{NULL}}};

typedef struct kind_row {
  const char *name;
  da_req_kind kind;
  const field *fields;
  const scope_path *scope; /* NULL: no prefix covers it */
} kind_row;

/* Sorted by name. Requests of this process to itself have no row: nobody can send one. */
static const kind_row kinds[] = {
    {"promise.create", DA_REQ_PROMISE_CREATE, create_fields, scope_id},
    {"promise.get", DA_REQ_PROMISE_GET, id_fields, scope_id},
    {"promise.register_callback", DA_REQ_PROMISE_REGISTER_CALLBACK, callback_fields, scope_callback},
    {"promise.register_listener", DA_REQ_PROMISE_REGISTER_LISTENER, listener_fields, scope_listener},
    {"promise.search", DA_REQ_PROMISE_SEARCH, promise_search_fields, NULL},
    {"promise.settle", DA_REQ_PROMISE_SETTLE, settle_fields, scope_id},
    {"schedule.create", DA_REQ_SCHEDULE_CREATE, schedule_fields, scope_schedule},
    {"schedule.delete", DA_REQ_SCHEDULE_DELETE, id_fields, scope_id},
    {"schedule.get", DA_REQ_SCHEDULE_GET, id_fields, scope_id},
    {"schedule.search", DA_REQ_SCHEDULE_SEARCH, schedule_search_fields, NULL},
    {"task.acquire", DA_REQ_TASK_ACQUIRE, acquire_fields, scope_id},
    {"task.continue", DA_REQ_TASK_CONTINUE, id_fields, scope_id},
    {"task.create", DA_REQ_TASK_CREATE, task_create_fields, scope_create},
    {"task.fence", DA_REQ_TASK_FENCE, fence_fields, scope_fence},
    {"task.fulfill", DA_REQ_TASK_FULFILL, fulfill_fields, scope_id},
    {"task.get", DA_REQ_TASK_GET, id_fields, scope_id},
    {"task.halt", DA_REQ_TASK_HALT, id_fields, scope_id},
    {"task.heartbeat", DA_REQ_TASK_HEARTBEAT, heartbeat_fields, scope_heartbeat},
    {"task.release", DA_REQ_TASK_RELEASE, release_fields, scope_id},
    {"task.search", DA_REQ_TASK_SEARCH, task_search_fields, NULL},
    {"task.suspend", DA_REQ_TASK_SUSPEND, suspend_fields, scope_suspend},
};

static int by_name(const void *name, const void *row)
{
  return da_slice_cmp(*(const da_slice *)name, da_slice_of(((const kind_row *)row)->name));
}

static const kind_row *kind_row_of(da_slice name)
{
  return bsearch(&name, kinds, sizeof kinds / sizeof kinds[0], sizeof kinds[0], by_name);
}

static da_debug_kind debug_kind_of(da_slice name)
{
  static const char *const names[] = {"", "debug.start", "debug.stop", "debug.reset", "debug.tick", "debug.snap"};
  if (!da_slice_starts(name, DA_LIT("debug."))) return DA_DEBUG_NONE;
  for (int i = DA_DEBUG_START; i <= DA_DEBUG_SNAP; i++)
    if (da_slice_eq(name, da_slice_of(names[i]))) return (da_debug_kind)i;
  return DA_DEBUG_NONE;
}

/* ---- the envelope -------------------------------------------------------------------------------------- */

static bool refuse(da_envelope *envelope, da_slice message)
{
  envelope->status = 400;
  envelope->message = message;
  return false;
}

static bool refuse_with(da_envelope *envelope, da_arena *arena, const char *prefix, da_slice words)
{
  da_slice parts[2] = {da_slice_of(prefix), words};
  return refuse(envelope, da_arena_join(arena, parts, 2));
}

static bool read_auth(reading *r, da_json_item item, void *to)
{
  da_envelope *envelope = to;
  envelope->has_auth = true;
  return read_string(r, item, &envelope->auth);
}

static bool read_debug_time(reading *r, da_json_item item, void *to)
{
  da_envelope *envelope = to;
  envelope->has_debug_time = true;
  return read_int(r, item, &envelope->debug_time);
}

/* A member of this host's own: of what it does not know, nothing is said. */
static bool read_preload(reading *r, da_json_item item, void *to)
{
  da_envelope *envelope = to;
  if (item.kind != DA_JSON_STRING) return true;
  da_slice text = da_json_item_string(item, r->arena);
  envelope->no_preload = da_slice_eq(text, DA_LIT("none"));
  envelope->whole_preload = da_slice_eq(text, DA_LIT("whole"));
  return true;
}

/* The version has no place in the envelope that is handed out, so it waits in `message`, which means nothing yet. */
static const field head_fields[] = {{"corrId", read_string, offsetof(da_envelope, corr_id), REQUIRED},
                                    {"version", read_string, offsetof(da_envelope, message), REQUIRED},
                                    {"auth", read_auth, 0, NULLABLE},
                                    {"resonate:debug_time", read_debug_time, 0, NULLABLE},
                                    {"dahost:preload", read_preload, 0, NULLABLE},
                                    {0}};

static bool read_head(reading *r, da_json_item item, void *to)
{
  return read_object(r, item, head_fields, to);
}

static const field envelope_fields[] = {{"kind", read_string, offsetof(da_envelope, kind), REQUIRED},
                                        {"head", read_head, 0, REQUIRED},
                                        {"data", read_text, offsetof(da_envelope, data), REQUIRED},
                                        {0}};

/* The member if it is a string, else what is there. */
static da_slice salvaged(da_json_item object, const char *name, da_arena *arena, da_slice unread)
{
  da_slice each;
  da_json_item member;
  for (da_json_walk walk = da_json_walk_of(object); da_json_walk_next(&walk, arena, &each, &member);)
    if (da_slice_eq(each, da_slice_of(name)) && member.kind == DA_JSON_STRING)
      return da_json_item_string(member, arena);
  return unread;
}

/* What can be said of an envelope that is wrong elsewhere, so that its sender knows which one. */
static void salvage(da_envelope *out, da_json_item item, da_arena *arena)
{
  *out = (da_envelope){.kind = DA_LIT("unknown"), .corr_id = DA_LIT("0")};
  if (item.kind != DA_JSON_OBJECT) return;
  out->kind = salvaged(item, "kind", arena, out->kind);
  da_slice name;
  da_json_item member;
  for (da_json_walk walk = da_json_walk_of(item); da_json_walk_next(&walk, arena, &name, &member);)
    if (da_slice_eq(name, DA_LIT("head")) && member.kind == DA_JSON_OBJECT)
      out->corr_id = salvaged(member, "corrId", arena, out->corr_id);
}

bool da_envelope_read(da_slice text, da_arena *arena, da_envelope *out)
{
  da_err err;
  reading r = {.arena = arena};
  *out = (da_envelope){.kind = DA_LIT("unknown"), .corr_id = DA_LIT("0")};
  if (da_json_check(text, &err) != DA_OK)
    return refuse_with(out, arena, "Invalid request envelope: ", da_arena_dup(arena, da_slice_of(err.text)));
  da_json_item item = da_json_item_of(text);
  if (!read_object(&r, item, envelope_fields, out)) {
    salvage(out, item, arena);
    return refuse_with(out, arena, "Invalid request envelope: ", r.fault);
  }
  da_slice version = out->message;
  out->message = DA_NONE;
  if (out->kind.len == 0)
    return refuse(out, DA_LIT("Missing or invalid 'kind' field \xe2\x80\x94 must be a non-empty string"));
  if (da_json_item_of(out->data).kind != DA_JSON_OBJECT)
    return refuse(out, DA_LIT("Invalid 'data' field \xe2\x80\x94 must be an object"));
  if (da_slice_eq(version, DA_LIT(DA_PROTOCOL_VERSION))) return true;
  da_slice parts[3] = {DA_LIT("Unsupported protocol version '"), version,
                       DA_LIT("', supported versions: [\"" DA_PROTOCOL_VERSION "\"]")};
  return refuse(out, da_arena_join(arena, parts, 3));
}

/* ---- scope --------------------------------------------------------------------------------------------- */

typedef struct ids {
  da_arena *arena;
  da_slice *items;
  size_t count;
  size_t room;
} ids;

static void add_id(ids *list, da_slice id)
{
  if (list->count == list->room) {
    list->room = list->room == 0 ? 4 : 2 * list->room;
    da_slice *items = da_arena_alloc(list->arena, list->room * sizeof *items);
    if (list->count > 0) memcpy(items, list->items, list->count * sizeof *items);
    list->items = items;
  }
  list->items[list->count++] = id;
}

/* What the steps lead to, if it is a string. As deep as a path is long. */
static void collect(ids *list, da_json_item item, const char *const *steps)
{
  if (*steps == NULL) {
    if (item.kind == DA_JSON_STRING) add_id(list, da_json_item_string(item, list->arena));
    return;
  }
  bool each = **steps == '*';
  if (item.kind != (each ? DA_JSON_ARRAY : DA_JSON_OBJECT)) return;
  da_slice name;
  da_json_item member;
  for (da_json_walk walk = da_json_walk_of(item); da_json_walk_next(&walk, list->arena, &name, &member);)
    if (each || da_slice_eq(name, da_slice_of(*steps))) collect(list, member, steps + 1);
}

void da_envelope_read_scope(da_envelope *envelope, da_arena *arena)
{
  ids list = {.arena = arena};
  const kind_row *row = kind_row_of(envelope->kind);
  envelope->searches = row == NULL || row->scope == NULL;
  if (envelope->searches) return;
  da_json_item data = da_json_item_of(envelope->data);
  for (const scope_path *path = row->scope; path->steps[0] != NULL; path++) collect(&list, data, path->steps);
  envelope->scope = list.items;
  envelope->scope_count = list.count;
}

/* ---- data ---------------------------------------------------------------------------------------------- */

static bool read_tick(da_envelope *envelope, da_arena *arena)
{
  static const field tick_fields[] = {{"time", read_int, offsetof(da_envelope, tick_time), REQUIRED}, {0}};
  reading r = {.arena = arena};
  if (!read_object(&r, da_json_item_of(envelope->data), tick_fields, envelope))
    return refuse(envelope, DA_LIT("Missing or invalid 'time' field"));
  if (envelope->has_debug_time && envelope->debug_time != envelope->tick_time)
    return refuse(envelope, DA_LIT("resonate:debug_time must equal data.time"));
  return true;
}

static bool read_fence(da_envelope *envelope, reading *r)
{
  da_request *request = &envelope->request;
  request->fence_settles = da_slice_eq(r->kind, DA_LIT("promise.settle"));
  if (!request->fence_settles && !da_slice_eq(r->kind, DA_LIT("promise.create")))
    return refuse(envelope, DA_LIT("Invalid fence action kind"));
  const field *fields = request->fence_settles ? settle_action_fields : create_action_fields;
  r->at = NULL;
  if (read_object(r, da_json_item_of(r->action), fields, request)) return true;
  return refuse_with(envelope, r->arena, "Invalid action data: ", r->fault);
}

bool da_envelope_read_request(da_envelope *envelope, da_arena *arena)
{
  reading r = {.arena = arena};
  envelope->request = (da_request){0};
  envelope->debug = debug_kind_of(envelope->kind);
  if (envelope->debug != DA_DEBUG_NONE) return envelope->debug != DA_DEBUG_TICK || read_tick(envelope, arena);
  const kind_row *row = kind_row_of(envelope->kind);
  if (row == NULL) return refuse_with(envelope, arena, "Unknown operation: ", envelope->kind);
  envelope->request.kind = row->kind;
  envelope->request.no_preload = envelope->no_preload;
  envelope->request.whole_preload =
      envelope->whole_preload && (row->kind == DA_REQ_TASK_ACQUIRE || row->kind == DA_REQ_TASK_CREATE);
  if (!read_object(&r, da_json_item_of(envelope->data), row->fields, &envelope->request))
    return refuse_with(envelope, arena, "Invalid request: ", r.fault);
  return row->kind != DA_REQ_TASK_FENCE || read_fence(envelope, &r);
}
