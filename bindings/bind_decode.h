/* bind_decode.h - what the two files of the decoder share. For bind_value_decode.c and bind_decode_scalar.c only.
 *
 * How:      one pass over the text. Members and elements wait on the Lua stack until their table can be made in its
 *           final size; beyond a chunk they go into it directly. A key that follows its elder in byte order, as
 *           canonical text has it, cannot be a duplicate; only from the first other key on is each one looked up.
 * May not:  hold malloc'ed memory while it calls Lua, which may raise: scratch is a Lua userdata.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BINDINGS_BIND_DECODE_H
#define DA_BINDINGS_BIND_DECODE_H

#include "../host/base/limits.h"
#include "bind_value.h"

enum { BIND_SCRATCH = 512 }; /* bytes of a string with escapes that need no userdata */

typedef struct bind_decoder {
  lua_State *L;
  const char *start;
  const char *at;
  const char *end;
  da_err *err;
  da_status status;
  int depth;
  bool keep_nulls; /* a member that is null is da.null, rather than absent */
  char scratch[BIND_SCRATCH];
} bind_decoder;

/* Words behind "byte <offset of at>: "; all return false. */
bool bind_decode_fail_as(bind_decoder *d, da_status status, const char *at, const char *words);
bool bind_decode_fail(bind_decoder *d, const char *at, const char *words);
bool bind_decode_fail_quoting(bind_decoder *d, const char *at, const char *words, const char *quoted);

/* Pushes the string at d->at, which is its opening quote. */
bool bind_decode_push_string(bind_decoder *d);
/* The same for a value: a sentinel is a number. */
bool bind_decode_string(bind_decoder *d);
bool bind_decode_number(bind_decoder *d);
/* A string of base64, from its opening quote on, becomes the bytes it spells. */
bool bind_decode_bytes(bind_decoder *d);
bool bind_decode_i64(bind_decoder *d);
/* Takes the byte that must come next, past white space. */
bool bind_decode_expect(bind_decoder *d, char byte, const char *words);
/* Pushes the string that must come next, past white space, as it is. */
bool bind_decode_plain_string(bind_decoder *d);

static inline void skip_space(bind_decoder *d)
{
  while (d->at < d->end && (*d->at == ' ' || *d->at == '\n' || *d->at == '\r' || *d->at == '\t')) d->at++;
}

static inline da_slice top_string(lua_State *L)
{
  da_slice s;
  s.ptr = lua_tolstring(L, -1, &s.len);
  return s;
}

static inline bool is_digit(const bind_decoder *d, const char *p)
{
  return p < d->end && *p >= '0' && *p <= '9';
}

#endif
