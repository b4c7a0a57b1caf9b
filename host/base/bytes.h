/* bytes.h - slices (borrowed bytes) and buffers (owned, growing bytes).
 *
 * A slice is never assumed to be terminated. A buffer's memory comes from malloc; running out of it ends the
 * process with a message, since no room could go on in a defined way (isolates have their own allocator and quota).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BASE_BYTES_H
#define DA_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "status.h"

typedef struct da_slice {
  const char *ptr; /* borrowed; NULL only when len is 0 */
  size_t len;
} da_slice;

#define DA_LIT(text) ((da_slice){("" text), sizeof(text) - 1})
#define DA_NONE ((da_slice){NULL, 0})
/* For printf("%.*s", DA_FMT(s)). */
#define DA_FMT(s) (int)(s).len, ((s).ptr != NULL ? (s).ptr : "")

static inline da_slice da_slice_of(const char *text)
{
  da_slice s = {text, text != NULL ? strlen(text) : 0};
  return s;
}

static inline da_slice da_slice_make(const char *ptr, size_t len)
{
  da_slice s = {ptr, len};
  return s;
}

static inline bool da_slice_eq(da_slice a, da_slice b)
{
  return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool da_slice_starts(da_slice s, da_slice prefix)
{
  return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

/* Bytewise order, as memcmp; a prefix sorts before what it begins. */
int da_slice_cmp(da_slice a, da_slice b);
/* Index of the first `byte`, or -1. */
ptrdiff_t da_slice_find(da_slice s, char byte);

typedef struct da_buf {
  char *ptr; /* owned */
  size_t len;
  size_t cap;
} da_buf;

void *da_xmalloc(size_t size); /* never NULL */
void *da_xcalloc(size_t count, size_t size);
void *da_xrealloc(void *old, size_t size); /* never NULL */
char *da_xstrndup(da_slice s);             /* terminated copy; free() it */

void da_buf_reserve(da_buf *buf, size_t more);
void da_buf_add(da_buf *buf, const void *bytes, size_t len);
void da_buf_add_slice(da_buf *buf, da_slice s);
void da_buf_add_byte(da_buf *buf, uint8_t byte);
void da_buf_add_u32(da_buf *buf, uint32_t value); /* big-endian */
void da_buf_addf(da_buf *buf, const char *format, ...) DA_PRINTF(2, 3);
void da_buf_addv(da_buf *buf, const char *format, va_list args) DA_PRINTF(2, 0);
void da_buf_clear(da_buf *buf); /* keeps the memory */
void da_buf_free(da_buf *buf);
static inline da_slice da_buf_slice(const da_buf *buf)
{
  return da_slice_make(buf->ptr, buf->len);
}

static inline uint16_t da_get_u16(const void *p)
{
  const uint8_t *b = p;
  return (uint16_t)((unsigned)b[0] << 8 | b[1]);
}
static inline uint32_t da_get_u32(const void *p)
{
  const uint8_t *b = p;
  return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}
static inline uint64_t da_get_u64(const void *p)
{
  return (uint64_t)da_get_u32(p) << 32 | da_get_u32((const uint8_t *)p + 4);
}

#endif
