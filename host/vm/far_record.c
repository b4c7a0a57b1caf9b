/* far_record.c - what a replay needs to know, written into the headers of what an execution makes on a server
 * elsewhere, and read back.
 *
 * `da-call` in the headers of a promise's param: what the store of this process keeps beside a promise (da_call), and
 * the version of the task under which it was made:
 *
 *     step 3 17 9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d 2 4f0c... wf.lua charge
 *     kind, ordinal, line, digest of the arguments, version, hash of the code, file, function (each of the last two
 *     with %XX for what is no plain character; "-": none)
 *
 * `da-own` in the headers of a value: the number of an own completion, and marks `~order.n` with notes in their param:
 * see far_order.c. `da-withdrawn`: the execution itself did not want the promise any more. Servers keep headers as they
 * are; other clients pass over them.
 *
 * May not:  decide anything about order.
 * Threads:  the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "../base/id.h"
#include "../base/json.h"
#include "../base/json_read.h"
#include "../base/limits.h"
#include "far.h"
#include "fault.h"

static const char order_name[] = "~order";

/* ---- the words of a call ------------------------------------------------------------------------------- */

static void add_word(da_buf *out, da_slice text)
{
  static const char digits[] = "0123456789ABCDEF";
  if (text.len == 0) da_buf_add_byte(out, '-');
  for (size_t i = 0; i < text.len; i++) {
    unsigned char c = (unsigned char)text.ptr[i];
    bool plain = c > ' ' && c < 0x7f && c != '%' && !(i == 0 && c == '-');
    if (plain) {
      da_buf_add_byte(out, c);
    } else {
      da_buf_add_byte(out, '%');
      da_buf_add_byte(out, (uint8_t)digits[c >> 4]);
      da_buf_add_byte(out, (uint8_t)digits[c & 15]);
    }
  }
}

static int hex_value(char c)
{
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static da_slice read_word(da_slice word, da_arena *arena)
{
  if (word.len == 1 && word.ptr[0] == '-') return DA_NONE;
  char *out = da_arena_alloc(arena, word.len);
  size_t len = 0;
  for (size_t i = 0; i < word.len; i++) {
    bool escaped =
        word.ptr[i] == '%' && i + 2 < word.len && hex_value(word.ptr[i + 1]) >= 0 && hex_value(word.ptr[i + 2]) >= 0;
    out[len++] = escaped ? (char)(hex_value(word.ptr[i + 1]) * 16 + hex_value(word.ptr[i + 2])) : word.ptr[i];
    if (escaped) i += 2;
  }
  return da_slice_make(out, len);
}

/* The kinds by their names, with '-' for a space. */
static void add_kind(da_buf *out, da_call_kind kind)
{
  for (const char *c = da_call_kind_name(kind); *c != '\0'; c++) da_buf_add_byte(out, (uint8_t)(*c == ' ' ? '-' : *c));
}

/* A root is nobody's call, and has the name of a workflow. */
static da_call_kind read_kind(da_slice word)
{
  for (int kind = DA_CALL_WORKFLOW; kind <= DA_CALL_LAST; kind++) {
    const char *name = da_call_kind_name((da_call_kind)kind);
    size_t i = 0;
    while (i < word.len && name[i] != '\0' && (word.ptr[i] == name[i] || (word.ptr[i] == '-' && name[i] == ' '))) i++;
    if (i == word.len && name[i] == '\0') return (da_call_kind)kind;
  }
  return DA_CALL_NONE;
}

static void add_call(da_buf *out, const da_call *call, int64_t version, const da_digest *code)
{
  char args[33], bundle[33];
  da_digest_hex(&call->args, args);
  da_digest_hex(code, bundle);
  add_kind(out, call->kind);
  da_buf_addf(out, " %u %u %s %lld %s ", call->ordinal, call->line, args, (long long)version, bundle);
  add_word(out, call->file);
  da_buf_add_byte(out, ' ');
  add_word(out, call->func);
}

static bool read_digest(da_slice word, da_digest *out)
{
  if (word.len != 32) return false;
  for (size_t i = 0; i < 16; i++) {
    int high = hex_value(word.ptr[2 * i]), low = hex_value(word.ptr[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    out->bytes[i] = (uint8_t)(high * 16 + low);
  }
  return true;
}

static bool read_number(da_slice word, uint64_t *out)
{
  *out = 0;
  for (size_t i = 0; i < word.len; i++) {
    if (word.ptr[i] < '0' || word.ptr[i] > '9' || *out > (uint64_t)DA_TIME_MAX / 10) return false;
    *out = *out * 10 + (uint64_t)(word.ptr[i] - '0');
  }
  return word.len > 0;
}

enum { WORDS = 8 };

static bool split(da_slice text, da_slice words[WORDS])
{
  size_t count = 0;
  for (size_t begin = 0; begin <= text.len && count < WORDS; count++) {
    size_t end = begin;
    while (end < text.len && text.ptr[end] != ' ') end++;
    words[count] = da_slice_make(text.ptr + begin, end - begin);
    begin = end + 1;
  }
  return count == WORDS;
}

typedef struct told_call {
  da_call call;
  int64_t version;
  da_digest code;
} told_call;

/* What is not as it was written here is no call: somebody else made the promise. */
static bool read_call(const da_promise *promise, da_arena *arena, told_call *out)
{
  const da_slice *text = da_map_get(promise->param.headers, DA_LIT("da-call"));
  da_slice words[WORDS];
  uint64_t ordinal, line, version;
  *out = (told_call){.call = {.kind = DA_CALL_NONE}};
  if (text == NULL || !split(*text, words)) return false;
  da_call_kind kind = read_kind(words[0]);
  if (kind == DA_CALL_NONE || !read_number(words[1], &ordinal) || !read_number(words[2], &line)) return false;
  if (!read_digest(words[3], &out->call.args) || !read_number(words[4], &version)) return false;
  if (!read_digest(words[5], &out->code) || ordinal > (1u << 30) || line > UINT32_MAX) return false;
  out->call.kind = kind;
  out->call.ordinal = (uint32_t)ordinal;
  out->call.line = (uint32_t)line;
  out->call.file = read_word(words[6], arena);
  out->call.func = read_word(words[7], arena);
  out->version = (int64_t)version;
  return true;
}

da_call da_far_call_of(const da_promise *promise, da_arena *arena)
{
  told_call told;
  (void)read_call(promise, arena, &told);
  return told.call;
}

bool da_far_made_now(const da_execution *execution, const da_promise *promise)
{
  da_arena arena = {0};
  told_call told;
  bool now = read_call(promise, &arena, &told) && told.version == execution->version;
  da_arena_free(&arena);
  return now;
}

/* ---- writing ------------------------------------------------------------------------------------------- */

static void add_header(da_arena *arena, da_value *value, da_slice key, da_slice text)
{
  da_pair *pairs = da_arena_alloc(arena, (value->headers.count + 1) * sizeof *pairs);
  if (value->headers.count > 0) memcpy(pairs, value->headers.items, value->headers.count * sizeof *pairs);
  pairs[value->headers.count] = (da_pair){key, da_arena_dup(arena, text)};
  value->headers = (da_map){pairs, value->headers.count + 1};
  value->has_headers = true;
}

/* For people and other clients, who know a call by {"func", "version"}. */
static void name_function(da_op *op, da_request *request, const da_child *child)
{
  da_buf param = {0};
  da_buf_addf(&param, "{\"func\":");
  da_fault_string(&param, request->call.func);
  da_buf_addf(&param, ",\"version\":%lld}", (long long)(child != NULL && child->version > 0 ? child->version : 1));
  request->param = da_call_value(&op->arena, da_buf_slice(&param), DA_NONE);
  da_buf_free(&param);
}

static void dress_made(da_execution *execution, da_op *op, da_request *request, const da_child *child)
{
  bool local = request->call.kind == DA_CALL_STEP || request->call.kind == DA_CALL_INLINE ||
               request->call.kind == DA_CALL_BRANCH || request->call.kind == DA_CALL_NATIVE;
  if (local && !request->param.has_data) name_function(op, request, child);
  static const da_digest none;
  da_buf text = {0};
  add_call(&text, &request->call, execution->version, execution->bundle != NULL ? &execution->bundle->hash : &none);
  add_header(&op->arena, &request->param, DA_LIT("da-call"), da_buf_slice(&text));
  da_buf_free(&text);
}

static void dress_settled(da_execution *execution, da_op *op, da_request *request)
{
  char number[24];
  (void)snprintf(number, sizeof number, "%llu", (unsigned long long)++execution->far->own_made);
  add_header(&op->arena, &request->value, DA_LIT("da-own"), da_slice_of(number));
}

da_slice da_far_order_id(da_arena *arena, const da_execution *execution, uint64_t number)
{
  return da_id_child(arena, execution->main.id, da_slice_of(order_name), number);
}

/* A promise whose time has passed is settled as it is made: one request, not two. */
static void write_notes(da_execution *execution)
{
  da_far_state *state = execution->far;
  da_op *op = da_op_new();
  da_request *request = da_op_request(op, DA_REQ_TASK_FENCE);
  request->id = execution->id;
  request->version = execution->version;
  request->promise_id = da_far_order_id(&op->arena, execution, ++state->marks);
  request->timeout_at = 0;
  request->no_preload = true;
  request->call = (da_call){.kind = DA_CALL_MARK};
  da_call_tags(&op->arena, execution, &execution->main, request->promise_id, request, true);
  da_call_add_tag(&op->arena, request, DA_LIT("resonate:timer"), DA_LIT("true"));
  da_buf json = {0};
  for (size_t i = 0; i < state->note_count; i++)
    da_buf_addf(&json, "%s[%u,%llu]", i == 0 ? "[" : ",", state->notes[i].ordinal,
                (unsigned long long)state->notes[i].own);
  da_buf_add_byte(&json, ']');
  request->param = da_call_value(&op->arena, da_buf_slice(&json), DA_NONE);
  da_buf_free(&json);
  state->note_count = 0;
  da_execution_submit(execution, op, NULL, da_execution_op_over);
}

void da_far_dress(da_execution *execution, da_op *op, da_child *child)
{
  bool records = false;
  for (size_t i = 0; i < op->request_count; i++) {
    da_request *request = &op->requests[i];
    bool step = request->kind == DA_REQ_TASK_STEP;
    bool makes =
        step || request->kind == DA_REQ_TASK_AGAIN || (request->kind == DA_REQ_TASK_FENCE && !request->fence_settles);
    bool others = request->kind == DA_REQ_PROMISE_CREATE || request->kind == DA_REQ_PROMISE_SETTLE ||
                  (request->kind == DA_REQ_TASK_FULFILL && !da_slice_eq(request->id, execution->id));
    records = records || step || others || request->kind == DA_REQ_TASK_FENCE;
    if (request->kind == DA_REQ_TASK_FENCE && request->fence_settles)
      add_header(&op->arena, &request->value, DA_LIT("da-withdrawn"), DA_LIT("true"));
    if (makes && request->call.kind != DA_CALL_NONE) dress_made(execution, op, request, child);
    if (step && request->call.kind != DA_CALL_MARK) dress_settled(execution, op, request);
  }
  if (records && execution->far->note_count > 0) write_notes(execution);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

bool da_far_withdrawn(const da_promise *promise)
{
  return da_map_get(promise->value.headers, DA_LIT("da-withdrawn")) != NULL;
}

void da_far_read_notes(da_far_state *state, const da_promise *mark, da_arena *arena)
{
  da_slice text = da_call_json(arena, &mark->param);
  if (text.len == 0 || da_json_check(text, NULL) != DA_OK) return;
  da_slice name;
  da_json_item pair, number;
  da_json_item list = da_json_item_of(text);
  if (list.kind != DA_JSON_ARRAY) return;
  for (da_json_walk all = da_json_walk_of(list); da_json_walk_next(&all, arena, &name, &pair);) {
    int64_t told[2] = {0, 0};
    int count = 0;
    if (pair.kind != DA_JSON_ARRAY) return;
    for (da_json_walk two = da_json_walk_of(pair); count < 2 && da_json_walk_next(&two, arena, &name, &number);)
      if (!da_json_item_int(number, &told[count++]) || told[count - 1] < 0 || told[count - 1] > (1 << 30)) return;
    if (count == 2) da_far_know(state, (uint32_t)told[0], (uint64_t)told[1]);
  }
}

/* The number at the end of an id `<scope>?<name>N`, or 0. */
static uint64_t number_below(da_slice id, da_slice scope, da_slice name)
{
  uint64_t number;
  size_t at = scope.len + 1 + name.len;
  if (!da_id_below(id, scope) || id.len <= at || memcmp(id.ptr + scope.len + 1, name.ptr, name.len) != 0) return 0;
  return read_number(da_slice_make(id.ptr + at, id.len - at), &number) ? number : 0;
}

static da_slice order_prefix(void)
{
  return DA_LIT("~order.");
}

const da_promise *da_far_mark(da_execution *execution, const da_reply *reply)
{
  uint64_t newest = 1;
  const da_promise *found = NULL;
  for (size_t i = 0; i < reply->preload_count; i++) {
    uint64_t number = number_below(reply->preload[i].id, execution->id, DA_LIT("~"));
    if (number <= newest || number > UINT32_MAX) continue;
    newest = number;
    found = &reply->preload[i];
  }
  if (found != NULL) execution->generation = (uint32_t)newest;
  return found;
}

/* Marks in the order of their numbers, which is not that of their texts. */
static void know_marks(da_execution *execution, const da_reply *reply, da_slice scope, da_arena *arena)
{
  da_far_state *state = execution->far;
  const da_promise **marks = da_arena_zalloc(arena, (reply->preload_count + 1) * sizeof *marks);
  for (size_t i = 0; i < reply->preload_count; i++) {
    uint64_t number = number_below(reply->preload[i].id, scope, order_prefix());
    if (number == 0 || number > reply->preload_count) continue;
    marks[number] = &reply->preload[i];
    if (number > state->marks) state->marks = number;
  }
  for (size_t i = 1; i <= state->marks; i++)
    if (marks[i] != NULL) da_far_read_notes(state, marks[i], arena);
}

static bool is_of_generation(const da_execution *execution, const da_promise *promise, da_slice scope, da_slice cancel)
{
  if (da_slice_eq(promise->id, cancel)) return true;
  return execution->generation == 1 || da_id_below(promise->id, scope);
}

void da_far_read(da_execution *execution, da_op *op, da_far_load *out)
{
  const da_reply *reply = &op->outcomes[0].reply;
  da_far_state *state = execution->far;
  da_arena *arena = &op->arena;
  const da_promise *mark = da_far_mark(execution, reply);
  da_slice scope = mark != NULL ? mark->id : execution->id;
  da_slice cancel = da_cancel_id(arena, execution->id);
  *out = (da_far_load){.records = da_arena_zalloc(arena, (reply->preload_count + 1) * sizeof *out->records)};
  if (mark != NULL) {
    da_promise *copy = da_arena_alloc(arena, sizeof *copy);
    *copy = *mark;
    copy->call.generation = execution->generation;
    out->mark = copy;
  }
  know_marks(execution, reply, scope, arena);
  for (size_t i = 0; i < reply->preload_count; i++) {
    const da_promise *from = &reply->preload[i];
    if (!is_of_generation(execution, from, scope, cancel)) continue;
    told_call told;
    da_promise *record = &out->records[out->count++];
    *record = *from;
    if (!read_call(from, arena, &told)) continue;
    record->call = told.call;
    state->has_code = true;
    state->code = told.code;
  }
  for (size_t i = 0; i < out->count; i++) {
    da_promise *record = &out->records[i];
    if (record->state == DA_PENDING) continue;
    bool is_cancel = da_slice_eq(record->id, cancel);
    uint32_t ordinal = is_cancel || record->call.ordinal > 0 ? record->call.ordinal : DA_FAR_NO_ORDINAL;
    record->settle_seq = da_far_seq(execution, ordinal, da_far_settles(record->call.kind), record);
  }
}

const da_digest *da_far_code(const da_execution *execution)
{
  return execution->far->has_code ? &execution->far->code : NULL;
}

bool da_far_other_code(const da_execution *execution)
{
  const da_far_state *state = execution->far;
  return state->has_code && execution->bundle != NULL && !da_digest_eq(&state->code, &execution->bundle->hash);
}
