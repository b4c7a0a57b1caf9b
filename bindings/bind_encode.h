/* bind_encode.h - what the files of the encoder share: bind_value_encode.c, bind_encode_table.c, bind_encode_words.c.
 *
 * How:      a list is written while it is walked. Of any other table the members are gathered first (scalars copied,
 *           only tables and the like kept on the Lua stack), sorted, and written in that order: no second look-up,
 *           and the culprit that an error names does not depend on hash order.
 * May not:  create Lua objects or call anything that does. So no collection can start, the strings found stay where
 *           they are while their table lives, and nothing can raise: malloc'ed memory needs no guard.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BINDINGS_BIND_ENCODE_H
#define DA_BINDINGS_BIND_ENCODE_H

#include "../host/base/limits.h"
#include "bind_value.h"

enum {
  BIND_LOCAL_MEMBERS = 24, /* members that need no malloc; the tables of most calls have fewer */
  BIND_STACK_NEED = 8,     /* Lua stack slots for one table, beyond its members */
};

typedef enum bind_kind {
  KIND_INT,
  KIND_FLOAT,
  KIND_STRING,
  KIND_BYTES, /* a key only: a string that is not UTF-8 */
  KIND_BOOLEAN,
  KIND_NULL,  /* a value only, as are the next two */
  KIND_STACK, /* at `slot` of the Lua stack */
  KIND_REST,  /* the members from..to, for the "__fields" of an error */
} bind_kind;

typedef struct bind_scalar {
  bind_kind kind;
  int slot;
  union {
    lua_Integer integer;
    lua_Number number;
    da_slice string; /* borrowed from the Lua string */
    bool boolean;
    struct {
      size_t from;
      size_t to;
    } members;
  } as;
} bind_scalar;

typedef struct bind_member {
  bind_scalar key;
  bind_scalar value;
  uint64_t prefix; /* first bytes of a string key: most comparisons end with it */
  bool rest;       /* stands in the "__fields" of an error; sorts behind the others */
  bool text;       /* the value is written as bare text: it must be a JSON string for peers */
} bind_member;

typedef struct bind_encoder {
  lua_State *L;
  da_buf *out;
  size_t limit; /* out may not grow beyond */
  const char *what;
  da_err *err;
  da_status status;
  bool lenient;                         /* bind_value_encode_error() */
  int depth;                            /* of the text */
  int level;                            /* keys on the way to the value being written; never above depth */
  const void *tables[DA_DEPTH_MAX + 1]; /* the table at each level, outermost first */
  bind_scalar path[DA_DEPTH_MAX + 1];   /* the key taken at each level */
  bind_member *members;                 /* a stack: those of the inner tables behind those of the outer ones */
  size_t member_count;
  size_t member_cap;
  bind_member local_members[BIND_LOCAL_MEMBERS];
} bind_encoder;

/* ---- bind_encode_words.c: why a value cannot cross, path first; all return false ---- */

bool bind_encode_fail(bind_encoder *e, da_status status, const char *words);
bool bind_encode_fail_cycle(bind_encoder *e, int level);
bool bind_encode_fail_size(bind_encoder *e);
bool bind_encode_fail_depth(bind_encoder *e);
bool bind_encode_fail_stack(bind_encoder *e);
bool bind_encode_fail_type(bind_encoder *e, int index); /* the value at index cannot cross */
bool bind_encode_fail_key(bind_encoder *e, int index);  /* the value at index cannot be a key */

/* ---- bind_encode_table.c ---- */

/* Lua stack indexes are absolute: slots above are used meanwhile. */
bool bind_encode_table(bind_encoder *e, int index, bind_mark mark);
/* Chooses the form for the gathered members from..to of the table at index; index 0: the rest of an error. */
bool bind_encode_members(bind_encoder *e, size_t from, size_t to, bind_mark mark, int index);

/* ---- bind_value_encode.c ---- */

bool bind_encode_value(bind_encoder *e, int index);
bool bind_encode_scalar(bind_encoder *e, const bind_scalar *value);
/* A value that peers read as a plain string: an error's name, message or stack. */
bool bind_encode_text(bind_encoder *e, const bind_scalar *value);
/* The elements 1..n of the table at index; a hole is null. */
bool bind_encode_list(bind_encoder *e, int index, lua_Integer n);
/* A string equal to one of the sentinels. */
bool bind_encode_is_sentinel(da_slice s);

/* ---- small steps ---- */

static inline void put(bind_encoder *e, char c)
{
  da_buf *out = e->out;
  if (out->len == out->cap) da_buf_reserve(out, 1);
  out->ptr[out->len++] = c;
}

#define BIND_PUT(e, text) da_buf_add((e)->out, "" text, sizeof(text) - 1)

static inline bool has_room(bind_encoder *e, size_t more)
{
  return e->out->len + more <= e->limit || bind_encode_fail_size(e);
}

/* Opens `levels` brackets of the text, or fails. */
static inline bool deepen(bind_encoder *e, int levels)
{
  if (e->depth + levels > DA_DEPTH_MAX) return bind_encode_fail_depth(e);
  e->depth += levels;
  return true;
}

static inline da_slice string_at(lua_State *L, int index)
{
  da_slice s;
  s.ptr = lua_tolstring(L, index, &s.len);
  return s;
}

#endif
