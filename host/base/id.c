/* id.c - the grammar of promise ids.
 * SPDX-License-Identifier: Apache-2.0 */
#include "id.h"

#include <stdio.h>
#include <sys/random.h>

#include "hash.h"
#include "limits.h"

static da_id_dialect dialect_here = DA_ID_COLON;

void da_id_set_dialect(da_id_dialect dialect)
{
  dialect_here = dialect;
}

da_id_dialect da_id_get_dialect(void)
{
  return dialect_here;
}

char da_id_root_end(void)
{
  return dialect_here == DA_ID_DOT ? '.' : ':';
}

const char *da_id_dialect_name(da_id_dialect dialect)
{
  return dialect == DA_ID_DOT ? "dot" : "colon";
}

bool da_id_is_other_dialect(da_slice refusal, da_id_dialect *taken)
{
  *taken = dialect_here == DA_ID_DOT ? DA_ID_COLON : DA_ID_DOT;
  if (da_slice_eq(refusal, DA_LIT("resonate:origin must not contain '.'"))) return *taken == DA_ID_DOT;
  if (da_slice_eq(refusal, DA_LIT("resonate:origin must not contain ':'"))) return *taken == DA_ID_COLON;
  /* The origin is the root of the id by our own rule, so what the server misses is its separator behind it. */
  return da_slice_eq(refusal, DA_LIT("Promise ID must be prefixed by resonate:origin"));
}

da_slice da_id_root(da_slice id)
{
  ptrdiff_t at = da_slice_find(id, da_id_root_end());
  return at < 0 ? id : da_slice_make(id.ptr, (size_t)at);
}

da_slice da_id_rest(da_slice id)
{
  ptrdiff_t at = da_slice_find(id, da_id_root_end());
  return at < 0 ? DA_NONE : da_slice_make(id.ptr + at, id.len - (size_t)at);
}

bool da_id_below(da_slice id, da_slice ancestor)
{
  return id.len > ancestor.len && da_slice_starts(id, ancestor) &&
         (id.ptr[ancestor.len] == ':' || id.ptr[ancestor.len] == '.');
}

char da_id_separator(da_slice parent)
{
  return da_slice_find(parent, ':') < 0 ? da_id_root_end() : '.';
}

void da_id_escape(da_buf *out, da_slice text)
{
  for (size_t i = 0; i < text.len; i++) {
    uint8_t c = (uint8_t)text.ptr[i];
    if (c == '%' || c == '.' || c == ':' || c == '=' || c < 0x20 || c == 0x7f)
      da_buf_addf(out, "%%%02X", c);
    else
      da_buf_add_byte(out, c);
  }
}

static da_slice child(da_arena *arena, da_slice parent, da_slice name, char mark, da_slice tail)
{
  da_buf buf = {0};
  da_buf_add_slice(&buf, parent);
  da_buf_add_byte(&buf, (uint8_t)da_id_separator(parent));
  da_id_escape(&buf, name);
  da_buf_add_byte(&buf, (uint8_t)mark);
  if (mark == '=')
    da_id_escape(&buf, tail);
  else
    da_buf_add_slice(&buf, tail);
  da_slice id = da_arena_dup(arena, da_buf_slice(&buf));
  da_buf_free(&buf);
  return id;
}

da_slice da_id_child(da_arena *arena, da_slice parent, da_slice name, uint64_t n)
{
  char digits[20];
  size_t at = sizeof digits;
  do {
    digits[--at] = (char)('0' + n % 10);
    n /= 10;
  } while (n != 0);
  return child(arena, parent, name, '.', da_slice_make(digits + at, sizeof digits - at));
}

da_slice da_id_child_key(da_arena *arena, da_slice parent, da_slice name, da_slice key)
{
  return child(arena, parent, name, '=', key);
}

da_slice da_id_detached(da_arena *arena, da_slice id)
{
  enum { KEPT = 200 }; /* bytes of one that is too long for a root; a hash of the whole stands for the rest */
  da_buf buf = {0};
  da_buf_add_slice(&buf, id);
  for (size_t i = 0; i < buf.len; i++)
    if (buf.ptr[i] == da_id_root_end()) buf.ptr[i] = '~';
  if (buf.len > DA_ID_ROOT_MAX) {
    char hex[33];
    da_digest hash = da_hash128(id);
    da_digest_hex(&hash, hex);
    for (buf.len = KEPT; ((uint8_t)buf.ptr[buf.len] & 0xc0) == 0x80;) buf.len--; /* not within a character */
    da_buf_addf(&buf, "~%s", hex);
  }
  da_slice detached = da_arena_dup(arena, da_buf_slice(&buf));
  da_buf_free(&buf);
  return detached;
}

const char *da_id_fault(da_slice id)
{
  if (id.len == 0) return "the id is empty";
  if (da_slice_find(id, '\0') >= 0) return "the id holds a NUL byte";
  if (da_id_root(id).len == 0) return dialect_here == DA_ID_DOT ? "the id begins with '.'" : "the id begins with ':'";
  if (da_id_root(id).len > DA_ID_ROOT_MAX) return "the root of the id is longer than 255 bytes";
  if (da_id_rest(id).len > DA_ID_REST_MAX) return "the id is longer than 1000 bytes behind its root";
  return NULL;
}

/* ---- of a process --------------------------------------------------------------------------------------- */

void da_id_local_pid(char out[32])
{
  uint8_t random[8] = {0};
  (void)getrandom(random, sizeof random, 0); /* 8 bytes are never refused once the system is up */
  size_t len = (size_t)snprintf(out, 32, "local/");
  for (size_t i = 0; i < sizeof random; i++) len += (size_t)snprintf(out + len, 32 - len, "%02x", random[i]);
}
