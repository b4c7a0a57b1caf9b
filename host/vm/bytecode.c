/* bytecode.c - reads the bytes of lua_dump().
 *
 * They come from the Lua this program is linked with, never from a file, so a fault in them is another format of Lua
 * and not an attack; every read is bounded all the same.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "bytecode.h"

enum {
  DEPTH_MAX = 200, /* functions within functions: LUAI_MAXCCALLS, which bounds the compiler */
  TAG_INTEGER = 0x03,
  TAG_FLOAT = 0x13,
  TAG_SHORT_STRING = 0x04,
  TAG_LONG_STRING = 0x14,
  ABSOLUTE_LINE = -0x80 /* in the line deltas: this one stands in the list of absolute lines */
};

/* After any read beyond the end `bad` is set and all reads give 0. */
typedef struct reader {
  const uint8_t *at, *end;
  bool bad;
  da_arena *arena;
} reader;

static const uint8_t *take(reader *r, size_t len)
{
  if (r->bad || (size_t)(r->end - r->at) < len) {
    r->bad = true;
    return NULL;
  }
  const uint8_t *bytes = r->at;
  r->at += len;
  return bytes;
}

static unsigned read_byte(reader *r)
{
  const uint8_t *byte = take(r, 1);
  return byte != NULL ? *byte : 0;
}

/* Seven bits a byte, the highest first; the last one is marked. */
static size_t read_size(reader *r)
{
  size_t value = 0;
  for (unsigned byte = 0; !r->bad && (byte & 0x80) == 0;) {
    byte = read_byte(r);
    if (value > SIZE_MAX >> 7) r->bad = true;
    value = value << 7 | (byte & 0x7F);
  }
  return r->bad ? 0 : value;
}

/* A count of things that take at least `each` bytes. */
static size_t read_count(reader *r, size_t each)
{
  size_t count = read_size(r);
  if (!r->bad && count > (size_t)(r->end - r->at) / each) r->bad = true;
  return r->bad ? 0 : count;
}

static da_slice read_string(reader *r)
{
  size_t size = read_size(r);
  if (size == 0) return DA_NONE;
  const uint8_t *bytes = take(r, size - 1);
  return bytes != NULL ? da_slice_make((const char *)bytes, size - 1) : DA_NONE;
}

/* ---- the head ------------------------------------------------------------------------------------------ */

static bool same(reader *r, const void *wanted, size_t len)
{
  const uint8_t *bytes = take(r, len);
  return bytes != NULL && memcmp(bytes, wanted, len) == 0;
}

static bool read_head(reader *r)
{
  static const uint8_t head[] = {
      0x1B, 'L',  'u',  'a',  0x54, 0, /* version 5.4, format 0 */
      0x19, 0x93, '\r', '\n', 0x1A, '\n', sizeof(uint32_t), sizeof(lua_Integer), sizeof(lua_Number)};
  lua_Integer integer = 0x5678;
  lua_Number number = 370.5;
  return same(r, head, sizeof head) && same(r, &integer, sizeof integer) && same(r, &number, sizeof number);
}

/* ---- functions ----------------------------------------------------------------------------------------- */

static void read_code(reader *r, da_proto *proto)
{
  proto->code_count = read_count(r, sizeof(uint32_t));
  const uint8_t *bytes = take(r, proto->code_count * sizeof(uint32_t));
  if (bytes == NULL) return;
  uint32_t *code = da_arena_alloc(r->arena, proto->code_count * sizeof *code + 1);
  memcpy(code, bytes, proto->code_count * sizeof *code);
  proto->code = code;
}

static void read_constants(reader *r, da_proto *proto)
{
  proto->constant_count = read_count(r, 1);
  da_slice *constants = da_arena_zalloc(r->arena, proto->constant_count * sizeof *constants + 1);
  proto->constants = constants;
  for (size_t i = 0; i < proto->constant_count && !r->bad; i++) {
    switch (read_byte(r)) {
    case TAG_INTEGER:
      (void)take(r, sizeof(lua_Integer));
      break;
    case TAG_FLOAT:
      (void)take(r, sizeof(lua_Number));
      break;
    case TAG_SHORT_STRING:
    case TAG_LONG_STRING:
      constants[i] = read_string(r);
      break;
    default: /* nil, false, true */
      break;
    }
  }
}

static da_upvalue *read_upvalues(reader *r, da_proto *proto)
{
  proto->upvalue_count = read_count(r, 3);
  da_upvalue *upvalues = da_arena_zalloc(r->arena, proto->upvalue_count * sizeof *upvalues + 1);
  for (size_t i = 0; i < proto->upvalue_count; i++) {
    upvalues[i].from_stack = read_byte(r) != 0;
    upvalues[i].index = (uint8_t)read_byte(r);
    (void)read_byte(r); /* kind */
  }
  proto->upvalues = upvalues;
  return upvalues;
}

/* Deltas from line to line, and now and then an absolute one. */
static void read_lines(reader *r, da_proto *proto)
{
  size_t count = read_count(r, 1);
  const int8_t *deltas = (const int8_t *)take(r, count);
  size_t absolute_count = read_count(r, 2);
  int *lines = da_arena_zalloc(r->arena, proto->code_count * sizeof *lines + 1);
  proto->lines = lines;
  int line = proto->line;
  size_t at = 0;
  for (size_t i = 0; i < absolute_count && !r->bad; i++) {
    size_t pc = read_size(r);
    int absolute = (int)read_size(r);
    for (; at < count && at < proto->code_count && at < pc; at++) {
      if (deltas[at] != ABSOLUTE_LINE) line += deltas[at];
      lines[at] = line;
    }
    line = absolute;
  }
  for (; at < count && at < proto->code_count && !r->bad; at++) {
    if (deltas[at] != ABSOLUTE_LINE) line += deltas[at];
    lines[at] = line;
  }
}

static void read_names(reader *r, da_proto *proto, da_upvalue *upvalues)
{
  proto->local_count = read_count(r, 3);
  da_local *locals = da_arena_zalloc(r->arena, proto->local_count * sizeof *locals + 1);
  proto->locals = locals;
  for (size_t i = 0; i < proto->local_count && !r->bad; i++) {
    locals[i].name = read_string(r);
    locals[i].from = read_size(r);
    locals[i].to = read_size(r);
  }
  size_t count = read_count(r, 1);
  if (count > proto->upvalue_count) r->bad = true;
  for (size_t i = 0; i < count && !r->bad; i++) upvalues[i].name = read_string(r);
}

static const da_proto *read_function(reader *r, da_slice source, int depth)
{
  da_proto *proto = da_arena_zalloc(r->arena, sizeof *proto);
  if (depth > DEPTH_MAX) r->bad = true;
  proto->source = read_string(r);
  if (proto->source.ptr == NULL) proto->source = source; /* the same as around it */
  proto->line = (int)read_size(r);
  proto->last_line = (int)read_size(r);
  (void)take(r, 2); /* parameters, vararg */
  proto->registers = read_byte(r);
  read_code(r, proto);
  read_constants(r, proto);
  da_upvalue *upvalues = read_upvalues(r, proto);
  proto->inner_count = read_count(r, 1);
  const da_proto **inner = da_arena_zalloc(r->arena, proto->inner_count * sizeof(const da_proto *) + 1);
  proto->inner = inner;
  for (size_t i = 0; i < proto->inner_count && !r->bad; i++) inner[i] = read_function(r, proto->source, depth + 1);
  read_lines(r, proto);
  read_names(r, proto, upvalues);
  return proto;
}

static int write_bytes(lua_State *L, const void *bytes, size_t len, void *user)
{
  (void)L;
  da_buf_add(user, bytes, len);
  return 0;
}

const da_proto *da_bytecode_of(lua_State *L, da_arena *arena)
{
  da_buf bytes = {0};
  (void)lua_dump(L, write_bytes, &bytes, 0);
  da_slice kept = da_arena_dup(arena, da_buf_slice(&bytes)); /* names and constants point into it */
  da_buf_free(&bytes);
  const uint8_t *at = (const uint8_t *)kept.ptr;
  reader r = {.at = at, .end = at + kept.len, .arena = arena};
  if (!read_head(&r)) return NULL;
  (void)read_byte(&r); /* upvalues of the function */
  const da_proto *proto = read_function(&r, DA_NONE, 0);
  return r.bad || r.at != r.end ? NULL : proto;
}
