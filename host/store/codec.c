/* codec.c - records as bytes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "codec.h"

#include "../base/id.h"
#include "key.h"

enum {
  KIND_PROMISE = 1,
  KIND_ANCHOR,
  KIND_TASK,
  KIND_OUT,
  KIND_BUNDLE,
  KIND_COUNTERS,
  KIND_SCHEDULE,
  KIND_QUEUE,
  KIND_QUEUE_ROW
};
enum {
  VERSION = 1,
  OUT_DATED = 2 /* of an unblock: says when it was made */
};

/* Flags of a promise, beside the state in the low three bits. */
enum { P_ARMED = 0x08, P_CALL = 0x10, P_TEXT = 0x20, P_NO_DEADLINE = 0x40, P_TAGS = 0x80 };
/* Flags of a value: those of param in the low four bits, those of value above. */
enum { V_DATA = 1, V_HEADERS = 2, V_JSON = 4, V_BLOB = 8 };
enum { C_FILE = 1, C_FUNC = 2, C_FUNC_IN_ID = 4, C_ARGS = 8, C_BUNDLE = 16, C_GENERATION = 32, C_ELSEWHERE = 64 };
/* Flags of a task, beside the state in the low three bits. */
enum { T_PID = 0x08, T_TTL = 0x10, T_TIMER = 0x20, T_RESUMES = 0x40, T_TEXT = 0x80 };
enum { STATE_MASK = 0x07 };
/* Flags of a schedule, beside what it catches up in the low two bits. */
enum { S_QUARTZ = 0x04, S_ZONE = 0x08, S_LAST = 0x10, S_CALL = 0x20, S_TAGS = 0x40, S_NEVER = 0x80, CATCH_UP_MASK = 3 };

/* ---- writing ------------------------------------------------------------------------------------------- */

static void put_byte(da_buf *out, unsigned byte)
{
  da_buf_reserve(out, 1);
  out->ptr[out->len++] = (char)(uint8_t)byte;
}

static void put_head(da_buf *out, unsigned kind)
{
  put_byte(out, kind << 4 | VERSION);
}

static void put_number(da_buf *out, uint64_t number)
{
  da_buf_reserve(out, DA_VARINT_MAX);
  out->len += da_varint_put((uint8_t *)out->ptr + out->len, number);
}

static void put_text(da_buf *out, da_slice text)
{
  put_number(out, text.len);
  da_buf_add_slice(out, text);
}

/* The number of a word, or 0 and the text. */
static void put_word(da_buf *out, da_slice text, da_words *words)
{
  uint32_t code = words != NULL ? da_words_code(words, text) : 0;
  put_number(out, code);
  if (code == 0) put_text(out, text);
}

/* ---- reading: a cursor that remembers the first fault -------------------------------------------------- */

typedef struct reader {
  const uint8_t *at;
  const uint8_t *end;
  bool bad;
  const da_words *words; /* may be NULL */
  da_arena *arena;       /* of what is read, if it needs one */
} reader;

static size_t left(const reader *r)
{
  return (size_t)(r->end - r->at);
}

static unsigned get_byte(reader *r)
{
  if (r->at < r->end) return *r->at++;
  r->bad = true;
  return 0;
}

static uint64_t get_number(reader *r)
{
  uint64_t number = 0;
  if (!da_varint_get(&r->at, r->end, &number)) r->bad = true;
  return number;
}

static da_slice get_bytes(reader *r, uint64_t len)
{
  if (r->bad || len > left(r)) {
    r->bad = true;
    return DA_NONE;
  }
  da_slice s = da_slice_make((const char *)r->at, (size_t)len);
  r->at += len;
  return s;
}

static da_slice get_text(reader *r)
{
  uint64_t len = get_number(r);
  return get_bytes(r, len);
}

/* Copied: the dictionary does not live as long as what is read. */
static da_slice get_word(reader *r)
{
  da_slice text = DA_NONE;
  uint64_t code = get_number(r);
  if (r->bad || code == 0) return get_text(r);
  if (r->words != NULL && da_words_text(r->words, code, &text)) return da_arena_dup(r->arena, text);
  r->bad = true;
  return DA_NONE;
}

static void take_digest(reader *r, da_slice bytes, da_digest *digest)
{
  if (bytes.len == sizeof digest->bytes)
    memcpy(digest->bytes, bytes.ptr, bytes.len);
  else
    r->bad = true;
}

/* Checks the first byte: DA_ECORRUPT for another kind, DA_EVERSION for this kind in a version not known here. */
static da_status open_record_of(reader *r, da_slice record, unsigned kind, unsigned version)
{
  const uint8_t *p = (const uint8_t *)record.ptr;
  *r = (reader){.at = p, .end = p + record.len};
  unsigned first = get_byte(r);
  if (r->bad || first >> 4 != kind) return DA_ECORRUPT;
  return (first & 0x0f) == version ? DA_OK : DA_EVERSION;
}

static da_status open_record(reader *r, da_slice record, unsigned kind)
{
  return open_record_of(r, record, kind, VERSION);
}

static da_status close_record(const reader *r)
{
  return r->bad || r->at != r->end ? DA_ECORRUPT : DA_OK;
}

/* ---- instants: distances, wrapped so that every pair of int64 survives --------------------------------- */

static void put_distance(da_buf *out, int64_t from, int64_t to)
{
  uint64_t d = (uint64_t)to - (uint64_t)from;
  put_number(out, d << 1 ^ (0 - (d >> 63)));
}

static int64_t get_distance(reader *r, int64_t from)
{
  uint64_t z = get_number(r);
  return (int64_t)((uint64_t)from + (z >> 1 ^ (0 - (z & 1))));
}

/* ---- tags ---------------------------------------------------------------------------------------------- */

/* One byte: which key (high four bits), which value (low four bits); 0 means that the text follows. The numbers are
 * on disk: only ever add. */
static const da_slice known_keys[] = {
    {"", 0},
    {"resonate:target", 15},
    {"resonate:scope", 14},
    {"resonate:branch", 15},
    {"resonate:parent", 15},
    {"resonate:origin", 15},
    {"resonate:timer", 14},
    {"resonate:external", 17},
    {"resonate:delay", 14},
    {"resonate:prefix", 15},
    {"resonate:schedule", 17},
};
enum { KNOWN_KEYS = sizeof known_keys / sizeof known_keys[0] };

static const da_slice known_values[] = {
    {"true", 4},
    {"local", 5},
    {"global", 6},
    {"poll://any@default", 18},
};
enum { KNOWN_VALUES = sizeof known_values / sizeof known_values[0] };
enum { OWN_ID = 1, ROOT_OF_ID, CUT_ONCE, CUT_TWICE, KNOWN_VALUE_FIRST, WORD = 15 };
_Static_assert((int)KNOWN_VALUE_FIRST + (int)KNOWN_VALUES <= (int)WORD, "a value code is four bits");
enum { TARGET = 1 }; /* the key whose values recur */
_Static_assert(KNOWN_KEYS <= 16, "a key code is four bits");

/* The id without its last component: `r:a.1` -> `r:a` -> `r`. A parent is one or two cuts away, after `name=key` or
 * `name.n`. Empty if there is nothing to cut. */
static da_slice cut(da_slice id)
{
  for (size_t i = id.len; i > 0; i--)
    if (id.ptr[i - 1] == '.' || id.ptr[i - 1] == ':') return da_slice_make(id.ptr, i - 1);
  return DA_NONE;
}

/* The name in the last segment of `...name.n`, else empty. */
static da_slice name_in(da_slice id)
{
  da_slice name_end = cut(id);
  da_slice name_begin = cut(name_end);
  if (name_begin.len == 0) return DA_NONE;
  return da_slice_make(id.ptr + name_begin.len + 1, name_end.len - name_begin.len - 1);
}

static unsigned key_code(da_slice key)
{
  static const char prefix[] = "resonate:";
  if (key.len < sizeof prefix - 1 || memcmp(key.ptr, prefix, sizeof prefix - 1) != 0) return 0;
  for (unsigned i = 1; i < KNOWN_KEYS; i++)
    if (da_slice_eq(key, known_keys[i])) return i;
  return 0;
}

static unsigned value_code(da_slice value, da_slice id)
{
  for (unsigned i = 0; i < KNOWN_VALUES; i++)
    if (da_slice_eq(value, known_values[i])) return KNOWN_VALUE_FIRST + i;
  if (value.len == 0 || value.len > id.len || memcmp(value.ptr, id.ptr, value.len) != 0) return 0;
  if (value.len == id.len) return OWN_ID;
  if (da_slice_eq(value, da_id_root(id))) return ROOT_OF_ID;
  da_slice once = cut(id);
  if (da_slice_eq(value, once)) return CUT_ONCE;
  return da_slice_eq(value, cut(once)) ? CUT_TWICE : 0;
}

static da_slice value_of(reader *r, unsigned code, da_slice id)
{
  if (code == WORD) return get_word(r);
  if (code >= KNOWN_VALUE_FIRST) {
    if (code - KNOWN_VALUE_FIRST < KNOWN_VALUES) return known_values[code - KNOWN_VALUE_FIRST];
    r->bad = true;
    return DA_NONE;
  }
  switch (code) {
  case OWN_ID:
    return id;
  case ROOT_OF_ID:
    return da_id_root(id);
  case CUT_ONCE:
    return cut(id);
  case CUT_TWICE:
    return cut(cut(id));
  default:
    return get_text(r);
  }
}

static void put_map(da_buf *out, da_map map, da_slice id, da_words *words)
{
  put_number(out, map.count);
  for (size_t i = 0; i < map.count; i++) {
    unsigned key = key_code(map.items[i].key);
    unsigned value = value_code(map.items[i].value, id);
    if (value == 0 && key == TARGET) value = WORD;
    put_byte(out, key << 4 | value);
    if (key == 0) put_text(out, map.items[i].key);
    if (value == 0) put_text(out, map.items[i].value);
    if (value == WORD) put_word(out, map.items[i].value, words);
  }
}

static void get_map(reader *r, da_slice id, da_map *out)
{
  uint64_t count = get_number(r);
  *out = (da_map){0};
  if (r->bad || count > left(r)) { /* each takes a byte at least */
    r->bad = true;
    return;
  }
  if (count == 0) return;
  da_pair *items = da_arena_alloc(r->arena, (size_t)count * sizeof *items);
  for (size_t i = 0; i < count; i++) {
    unsigned code = get_byte(r);
    unsigned key = code >> 4;
    if (key >= KNOWN_KEYS) r->bad = true;
    if (r->bad) return;
    items[i].key = key == 0 ? get_text(r) : known_keys[key];
    items[i].value = value_of(r, code & 0x0f, id);
  }
  out->items = items;
  out->count = (size_t)count;
}

/* ---- values -------------------------------------------------------------------------------------------- */

static unsigned value_flags(const da_value *value)
{
  return (value->has_data ? V_DATA : 0u) | (value->has_headers ? V_HEADERS : 0u) |
         (value->encoding == DA_JSON ? V_JSON : 0u) |
         (value->has_data && da_codec_in_blob(value->data.len) ? V_BLOB : 0u);
}

static void put_value(da_buf *out, const da_value *value, unsigned flags, da_slice id, da_words *words)
{
  if ((flags & V_DATA) != 0 && (flags & V_BLOB) == 0) put_text(out, value->data);
  if ((flags & V_HEADERS) != 0) put_map(out, value->headers, id, words);
}

static void get_value(reader *r, unsigned flags, size_t blob_bytes, da_slice id, da_value *out)
{
  *out = (da_value){0};
  out->has_data = (flags & V_DATA) != 0;
  out->has_headers = (flags & V_HEADERS) != 0;
  out->encoding = (flags & V_JSON) != 0 ? DA_JSON : DA_RAW;
  if ((flags & V_BLOB) != 0)
    out->data.len = blob_bytes;
  else if (out->has_data)
    out->data = get_text(r);
  if (out->has_headers) get_map(r, id, &out->headers);
}

/* ---- calls --------------------------------------------------------------------------------------------- */

static da_slice digest_slice(const da_digest *digest)
{
  return da_slice_make((const char *)digest->bytes, sizeof digest->bytes);
}

static void put_call(da_buf *out, const da_call *call, da_slice id, da_words *words)
{
  static const da_digest no_args;
  bool in_id = call->func.len != 0 && da_slice_eq(call->func, name_in(id));
  unsigned flags = (call->file.len != 0 ? C_FILE : 0u) | (call->func.len != 0 && !in_id ? C_FUNC : 0u) |
                   (in_id ? C_FUNC_IN_ID : 0u) | (da_digest_eq(&call->args, &no_args) ? 0u : C_ARGS) |
                   (call->has_bundle ? C_BUNDLE : 0u) | (call->generation != 0 ? C_GENERATION : 0u) |
                   (call->awaited_elsewhere ? C_ELSEWHERE : 0u);
  put_byte(out, call->kind);
  put_byte(out, flags);
  put_number(out, call->ordinal);
  put_number(out, call->line);
  if ((flags & C_FILE) != 0) put_word(out, call->file, words);
  if ((flags & C_FUNC) != 0) put_word(out, call->func, words);
  if ((flags & C_ARGS) != 0) da_buf_add(out, call->args.bytes, sizeof call->args.bytes);
  if ((flags & C_BUNDLE) != 0) put_word(out, digest_slice(&call->bundle), words);
  if ((flags & C_GENERATION) != 0) put_number(out, call->generation);
}

static void get_call(reader *r, da_slice id, da_call *out)
{
  unsigned kind = get_byte(r);
  unsigned flags = get_byte(r);
  uint64_t ordinal = get_number(r);
  uint64_t line = get_number(r);
  if (kind > DA_CALL_LAST || flags >= C_ELSEWHERE << 1 || ordinal > UINT32_MAX || line > UINT32_MAX) r->bad = true;
  if (r->bad) return;
  out->kind = (da_call_kind)kind;
  out->ordinal = (uint32_t)ordinal;
  out->line = (uint32_t)line;
  if ((flags & C_FILE) != 0) out->file = get_word(r);
  if ((flags & C_FUNC) != 0) out->func = get_word(r);
  if ((flags & C_FUNC_IN_ID) != 0) out->func = name_in(id);
  if ((flags & C_ARGS) != 0) take_digest(r, get_bytes(r, sizeof out->args.bytes), &out->args);
  out->has_bundle = (flags & C_BUNDLE) != 0;
  if (out->has_bundle) take_digest(r, get_word(r), &out->bundle);
  out->awaited_elsewhere = (flags & C_ELSEWHERE) != 0;
  if ((flags & C_GENERATION) == 0) return;
  uint64_t generation = get_number(r);
  if (generation < 2 || generation > UINT32_MAX) r->bad = true;
  out->generation = (uint32_t)generation;
}

/* ---- promises ------------------------------------------------------------------------------------------ */

void da_codec_promise_put(da_buf *out, const da_promise *promise, da_slice text, da_words *words)
{
  unsigned param = value_flags(&promise->param);
  unsigned value = value_flags(&promise->value);
  bool no_deadline = promise->timeout_at == DA_TIME_MAX;
  const da_call *call = &promise->call;
  bool has_call = call->kind != DA_CALL_NONE || call->generation != 0 || call->has_bundle || call->awaited_elsewhere;
  put_head(out, KIND_PROMISE);
  put_byte(out, (unsigned)promise->state | (promise->armed ? P_ARMED : 0u) | (has_call ? P_CALL : 0u) |
                    (text.len != 0 ? P_TEXT : 0u) | (no_deadline ? P_NO_DEADLINE : 0u) |
                    (promise->tags.count != 0 ? P_TAGS : 0u));
  put_byte(out, param | value << 4);
  if (text.len != 0) put_text(out, text);
  if ((param & V_BLOB) != 0) put_number(out, promise->param.data.len);
  if ((value & V_BLOB) != 0) put_number(out, promise->value.data.len);
  put_number(out, (uint64_t)promise->created_at);
  if (!no_deadline) put_distance(out, promise->created_at, promise->timeout_at);
  if (promise->state != DA_PENDING) {
    put_distance(out, promise->created_at, promise->settled_at);
    put_number(out, promise->settle_seq);
  }
  if (promise->tags.count != 0) put_map(out, promise->tags, promise->id, words);
  put_value(out, &promise->param, param, promise->id, words);
  put_value(out, &promise->value, value, promise->id, words);
  if (has_call) put_call(out, &promise->call, promise->id, words);
}

void da_codec_anchor_put(da_buf *out, da_slice root)
{
  put_head(out, KIND_ANCHOR);
  da_buf_add_slice(out, root);
}

/* The part of a promise that both readers need. */
typedef struct opening {
  unsigned flags;
  unsigned param;
  unsigned value;
} opening;

static size_t get_blob_bytes(reader *r, unsigned flags)
{
  if ((flags & V_BLOB) == 0) return 0;
  uint64_t len = get_number(r);
  if ((flags & V_DATA) == 0 || !da_codec_in_blob((size_t)len)) r->bad = true;
  if (len > (uint64_t)DA_BLOB_PIECE * DA_BLOB_PIECES_MAX) r->bad = true;
  return r->bad ? 0 : (size_t)len;
}

static void get_opening(reader *r, opening *o, da_promise_head *head)
{
  o->flags = get_byte(r);
  unsigned values = get_byte(r);
  o->param = values & 0x0f;
  o->value = values >> 4;
  head->has_text = (o->flags & P_TEXT) != 0;
  if (head->has_text) head->text = get_text(r);
  head->param_bytes = get_blob_bytes(r, o->param);
  head->value_bytes = get_blob_bytes(r, o->value);
  if ((o->flags & STATE_MASK) > DA_TIMEDOUT) r->bad = true;
}

da_status da_codec_promise_head(da_slice record, da_promise_head *out)
{
  reader r;
  *out = (da_promise_head){0};
  da_status status = open_record(&r, record, KIND_ANCHOR);
  if (status == DA_OK) {
    out->anchor = out->has_text = true;
    out->text = get_bytes(&r, left(&r));
    return out->text.len != 0 ? DA_OK : DA_ECORRUPT;
  }
  if (status != DA_EVERSION) status = open_record(&r, record, KIND_PROMISE);
  if (status != DA_OK) return status;
  opening o;
  get_opening(&r, &o, out);
  return r.bad ? DA_ECORRUPT : DA_OK;
}

da_status da_codec_promise_get(da_slice record, da_slice id, const da_words *words, da_arena *arena, da_promise *out)
{
  reader r;
  opening o;
  da_promise_head head = {0};
  *out = (da_promise){0};
  da_status status = open_record(&r, record, KIND_PROMISE);
  if (status != DA_OK) return status;
  r.words = words;
  r.arena = arena;
  get_opening(&r, &o, &head);
  if (r.bad) return DA_ECORRUPT;
  out->id = id;
  out->state = (da_promise_state)(o.flags & STATE_MASK);
  out->armed = (o.flags & P_ARMED) != 0;
  out->created_at = (int64_t)get_number(&r);
  out->timeout_at = (o.flags & P_NO_DEADLINE) != 0 ? DA_TIME_MAX : get_distance(&r, out->created_at);
  if (out->state != DA_PENDING) {
    out->settled_at = get_distance(&r, out->created_at);
    out->settle_seq = get_number(&r);
  }
  if ((o.flags & P_TAGS) != 0) get_map(&r, id, &out->tags);
  get_value(&r, o.param, head.param_bytes, id, &out->param);
  get_value(&r, o.value, head.value_bytes, id, &out->value);
  if ((o.flags & P_CALL) != 0) get_call(&r, id, &out->call);
  return close_record(&r);
}

/* ---- tasks --------------------------------------------------------------------------------------------- */

/* A lease that never ends and the pid of a worker in this process ("local/" and hex digits) are what most acquired
 * tasks have. They are packed so that the row hardly shrinks when the task is suspended: rows that are written large
 * and left small leave their pages half empty. */

/* Zero is written as a flag, so that 0 is free to stand for DA_TIME_MAX. */
static void put_instant(da_buf *out, int64_t ms)
{
  put_number(out, ms == DA_TIME_MAX ? 0 : (uint64_t)ms);
}

static int64_t get_instant(reader *r)
{
  uint64_t ms = get_number(r);
  return ms == 0 ? DA_TIME_MAX : (int64_t)ms;
}

#define LOCAL_PID DA_LIT("local/")
static const char hex_digits[] = "0123456789abcdef";

static int hex_value(char c)
{
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_packable(da_slice pid)
{
  da_slice prefix = LOCAL_PID;
  if (!da_slice_starts(pid, prefix) || (pid.len - prefix.len) % 2 != 0) return false;
  for (size_t i = prefix.len; i < pid.len; i++)
    if (hex_value(pid.ptr[i]) < 0) return false;
  return true;
}

/* Twice the length of what follows, plus 1 if it is the hex digits of a local pid as bytes. */
static void put_pid(da_buf *out, da_slice pid)
{
  da_slice prefix = LOCAL_PID;
  if (!is_packable(pid)) {
    put_number(out, (uint64_t)pid.len << 1);
    da_buf_add_slice(out, pid);
    return;
  }
  put_number(out, (uint64_t)(pid.len - prefix.len) | 1);
  for (size_t i = prefix.len; i < pid.len; i += 2)
    put_byte(out, (unsigned)(hex_value(pid.ptr[i]) << 4 | hex_value(pid.ptr[i + 1])));
}

static da_slice get_pid(reader *r)
{
  uint64_t head = get_number(r);
  da_slice bytes = get_bytes(r, head >> 1);
  if (r->bad || (head & 1) == 0) return bytes;
  da_slice prefix = LOCAL_PID;
  char *pid = da_arena_alloc(r->arena, prefix.len + 2 * bytes.len);
  memcpy(pid, prefix.ptr, prefix.len);
  for (size_t i = 0; i < bytes.len; i++) {
    pid[prefix.len + 2 * i] = hex_digits[(uint8_t)bytes.ptr[i] >> 4];
    pid[prefix.len + 2 * i + 1] = hex_digits[(uint8_t)bytes.ptr[i] & 15];
  }
  return da_slice_make(pid, prefix.len + 2 * bytes.len);
}

void da_codec_task_put(da_buf *out, const da_task *task, da_slice text)
{
  unsigned flags = (task->pid.len != 0 ? T_PID : 0u) | (task->ttl != 0 ? T_TTL : 0u) |
                   (task->timer_at != 0 ? T_TIMER : 0u) | (task->resumes != 0 ? T_RESUMES : 0u) |
                   (text.len != 0 ? T_TEXT : 0u);
  put_head(out, KIND_TASK);
  put_byte(out, (unsigned)task->state | flags);
  put_number(out, (uint64_t)task->version);
  if ((flags & T_RESUMES) != 0) put_number(out, (uint64_t)task->resumes);
  if ((flags & T_TTL) != 0) put_instant(out, task->ttl);
  if ((flags & T_TIMER) != 0) put_instant(out, task->timer_at);
  if ((flags & T_PID) != 0) put_pid(out, task->pid);
  if ((flags & T_TEXT) != 0) put_text(out, text);
}

da_status da_codec_task_get(da_slice record, da_arena *arena, da_task *out, da_slice *text)
{
  reader r;
  *out = (da_task){0};
  *text = DA_NONE;
  da_status status = open_record(&r, record, KIND_TASK);
  if (status != DA_OK) return status;
  r.arena = arena;
  unsigned flags = get_byte(&r);
  if ((flags & STATE_MASK) > DA_TASK_FULFILLED) return DA_ECORRUPT;
  out->state = (da_task_state)(flags & STATE_MASK);
  out->version = (int64_t)get_number(&r);
  if ((flags & T_RESUMES) != 0) out->resumes = (int64_t)get_number(&r);
  if ((flags & T_TTL) != 0) out->ttl = get_instant(&r);
  if ((flags & T_TIMER) != 0) out->timer_at = get_instant(&r);
  if ((flags & T_PID) != 0) out->pid = get_pid(&r);
  if ((flags & T_TEXT) != 0) *text = get_text(&r);
  return close_record(&r);
}

/* ---- schedules ----------------------------------------------------------------------------------------- */

/* Values never lie in `blob`: a schedule is bounded (DA_SCHEDULE_MAX). */
void da_codec_schedule_put(da_buf *out, const da_schedule *s, da_words *words)
{
  unsigned param = value_flags(&s->promise_param) & ~(unsigned)V_BLOB;
  unsigned flags = (unsigned)s->catch_up | (s->style == DA_CRON_QUARTZ ? S_QUARTZ : 0u) |
                   (s->zone.len != 0 ? S_ZONE : 0u) | (s->last_run_at != 0 ? S_LAST : 0u) |
                   (s->call.kind != DA_CALL_NONE ? S_CALL : 0u) | (s->promise_tags.count != 0 ? S_TAGS : 0u) |
                   (s->next_run_at == DA_TIME_MAX ? S_NEVER : 0u);
  put_head(out, KIND_SCHEDULE);
  put_byte(out, flags);
  put_byte(out, param);
  put_number(out, (uint64_t)s->created_at);
  if ((flags & S_NEVER) == 0) put_distance(out, s->created_at, s->next_run_at);
  if ((flags & S_LAST) != 0) put_distance(out, s->created_at, s->last_run_at);
  put_text(out, s->cron);
  if ((flags & S_ZONE) != 0) {
    put_word(out, s->zone, words);
    put_word(out, s->zone_bytes, words);
  }
  put_text(out, s->promise_id);
  put_number(out, (uint64_t)s->promise_timeout);
  if ((flags & S_TAGS) != 0) put_map(out, s->promise_tags, s->id, words);
  put_value(out, &s->promise_param, param, s->id, words);
  if ((flags & S_CALL) != 0) put_call(out, &s->call, s->id, words);
}

da_status da_codec_schedule_get(da_slice record, da_slice id, const da_words *words, da_arena *arena, da_schedule *out)
{
  reader r;
  *out = (da_schedule){.id = id, .next_run_at = DA_TIME_MAX};
  da_status status = open_record(&r, record, KIND_SCHEDULE);
  if (status != DA_OK) return status;
  r.words = words;
  r.arena = arena;
  unsigned flags = get_byte(&r);
  unsigned param = get_byte(&r);
  if ((flags & CATCH_UP_MASK) > DA_CATCH_UP_NONE || param >= V_BLOB) return DA_ECORRUPT;
  out->catch_up = (da_catch_up)(flags & CATCH_UP_MASK);
  out->style = (flags & S_QUARTZ) != 0 ? DA_CRON_QUARTZ : DA_CRON_UNIX;
  out->created_at = (int64_t)get_number(&r);
  if ((flags & S_NEVER) == 0) out->next_run_at = get_distance(&r, out->created_at);
  if ((flags & S_LAST) != 0) out->last_run_at = get_distance(&r, out->created_at);
  out->cron = get_text(&r);
  if ((flags & S_ZONE) != 0) {
    out->zone = get_word(&r);
    out->zone_bytes = get_word(&r);
  }
  out->promise_id = get_text(&r);
  out->promise_timeout = (int64_t)get_number(&r);
  if ((flags & S_TAGS) != 0) get_map(&r, id, &out->promise_tags);
  get_value(&r, param, 0, id, &out->promise_param);
  if ((flags & S_CALL) != 0) get_call(&r, id, &out->call);
  return close_record(&r);
}

/* ---- messages ------------------------------------------------------------------------------------------ */

void da_codec_out_put(da_buf *out, const da_message *message, da_slice text)
{
  bool dated = message->kind == DA_UNBLOCK;
  put_byte(out, KIND_OUT << 4 | (dated ? OUT_DATED : VERSION));
  if (dated)
    put_number(out, (uint64_t)message->at_ms);
  else
    put_number(out, (uint64_t)message->version);
  put_text(out, message->address);
  da_buf_add_slice(out, text);
}

da_status da_codec_out_get(da_slice record, da_message_kind kind, da_message *out, da_slice *text)
{
  reader r;
  *out = (da_message){.kind = kind};
  *text = DA_NONE;
  da_status status = kind == DA_UNBLOCK ? open_record_of(&r, record, KIND_OUT, OUT_DATED) : DA_EVERSION;
  bool dated = status == DA_OK;
  if (status == DA_EVERSION) status = open_record(&r, record, KIND_OUT);
  if (status != DA_OK) return status;
  if (dated) out->at_ms = (int64_t)get_number(&r);
  if (kind == DA_EXECUTE) out->version = (int64_t)get_number(&r);
  out->address = get_text(&r);
  *text = get_bytes(&r, left(&r));
  return close_record(&r);
}

/* ---- queues -------------------------------------------------------------------------------------------- */

static size_t recent_count(const da_queue *queue)
{
  static const da_digest none;
  size_t count = 0;
  while (count < DA_QUEUE_RECENT && !da_digest_eq(&queue->recent[count], &none)) count++;
  return count;
}

void da_codec_queue_put(da_buf *out, const da_queue *queue)
{
  const uint64_t numbers[] = {queue->kind,     (uint64_t)queue->limit,  (uint64_t)queue->per_ms,
                              queue->next_seq, queue->tokens,           queue->places,
                              queue->held,     (uint64_t)queue->due_at, recent_count(queue)};
  put_head(out, KIND_QUEUE);
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) put_number(out, numbers[i]);
  da_buf_add(out, queue->recent, recent_count(queue) * sizeof queue->recent[0]);
  da_buf_add_slice(out, queue->name);
}

da_status da_codec_queue_get(da_slice record, da_queue *out)
{
  reader r;
  *out = (da_queue){0};
  da_status status = open_record(&r, record, KIND_QUEUE);
  if (status != DA_OK) return status;
  uint64_t kind = get_number(&r);
  out->limit = (int64_t)get_number(&r);
  out->per_ms = (int64_t)get_number(&r);
  out->next_seq = get_number(&r);
  out->tokens = get_number(&r);
  out->places = get_number(&r);
  out->held = get_number(&r);
  out->due_at = (int64_t)get_number(&r);
  uint64_t recent = get_number(&r);
  if (kind == DA_QUEUE_NONE || kind > DA_QUEUE_LIMITER || recent > DA_QUEUE_RECENT) r.bad = true;
  if (r.bad) return DA_ECORRUPT;
  out->kind = (da_queue_kind)kind;
  for (size_t i = 0; i < recent; i++) take_digest(&r, get_bytes(&r, sizeof out->recent[i].bytes), &out->recent[i]);
  out->name = get_bytes(&r, left(&r));
  return out->name.len == 0 ? DA_ECORRUPT : close_record(&r);
}

/* A message stays in its row, however long it is: DA_MESSAGE_MAX bounds it. */
void da_codec_queue_row_put(da_buf *out, const da_queue_row *row)
{
  put_head(out, KIND_QUEUE_ROW);
  put_byte(out, row->kind);
  switch (row->kind) {
  case DA_QUEUE_TOKEN: {
    unsigned flags = value_flags(&row->value) & ~(unsigned)V_BLOB;
    put_byte(out, flags);
    put_number(out, (uint64_t)row->at);
    put_value(out, &row->value, flags, DA_NONE, NULL);
    break;
  }
  case DA_QUEUE_HOLD:
    put_byte(out, row->state);
    put_number(out, row->seq);
    put_text(out, row->name);
    put_text(out, row->owner);
    put_text(out, row->id);
    break;
  case DA_QUEUE_PLACE:
    put_text(out, row->owner);
    put_text(out, row->id);
    break;
  }
}

da_status da_codec_queue_row_get(da_slice record, da_arena *arena, da_queue_row *out)
{
  reader r;
  *out = (da_queue_row){0};
  da_status status = open_record(&r, record, KIND_QUEUE_ROW);
  if (status != DA_OK) return status;
  r.arena = arena;
  out->kind = (da_queue_row_kind)get_byte(&r);
  if (out->kind == DA_QUEUE_TOKEN) {
    unsigned flags = get_byte(&r);
    out->at = (int64_t)get_number(&r);
    if (r.bad || flags >= V_BLOB) return DA_ECORRUPT;
    get_value(&r, flags, 0, DA_NONE, &out->value);
    return close_record(&r);
  }
  if (out->kind == DA_QUEUE_HOLD) {
    unsigned state = get_byte(&r);
    out->seq = get_number(&r);
    out->name = get_text(&r);
    if (state > DA_HOLD_INBOX) return DA_ECORRUPT;
    out->state = (da_hold_state)state;
  } else if (out->kind != DA_QUEUE_PLACE) {
    return DA_ECORRUPT;
  }
  out->owner = get_text(&r);
  out->id = get_text(&r);
  return close_record(&r);
}

/* ---- bundles and counters ------------------------------------------------------------------------------ */

void da_codec_bundle_put(da_buf *out, da_slice bytes)
{
  put_head(out, KIND_BUNDLE);
  put_number(out, bytes.len);
  if (!da_codec_in_blob(bytes.len)) da_buf_add_slice(out, bytes);
}

da_status da_codec_bundle_get(da_slice record, size_t *len, da_slice *inline_)
{
  reader r;
  *len = 0;
  *inline_ = DA_NONE;
  da_status status = open_record(&r, record, KIND_BUNDLE);
  if (status != DA_OK) return status;
  uint64_t bytes = get_number(&r);
  if (r.bad || bytes > (uint64_t)DA_BLOB_PIECE * DA_BLOB_PIECES_MAX) return DA_ECORRUPT;
  *len = (size_t)bytes;
  if (!da_codec_in_blob(*len)) *inline_ = get_bytes(&r, bytes);
  return close_record(&r);
}

void da_codec_counters_put(da_buf *out, const da_counters *counters)
{
  put_head(out, KIND_COUNTERS);
  put_number(out, counters->next_root);
  put_number(out, counters->next_seq);
  put_number(out, counters->anchors);
  put_number(out, counters->words);
  put_number(out, counters->newest_ms);
}

da_status da_codec_counters_get(da_slice record, da_counters *out)
{
  reader r;
  *out = (da_counters){0};
  da_status status = open_record(&r, record, KIND_COUNTERS);
  if (status != DA_OK) return status;
  out->next_root = get_number(&r);
  out->next_seq = get_number(&r);
  out->anchors = get_number(&r);
  out->words = get_number(&r);
  out->newest_ms = get_number(&r);
  if (out->newest_ms > (uint64_t)DA_TIME_MAX) return DA_ECORRUPT;
  if (out->next_root == 0 || out->next_seq == 0) return DA_ECORRUPT;
  return close_record(&r);
}
