/* bytes.c - slices and buffers.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int da_slice_cmp(da_slice a, da_slice b)
{
  size_t common = a.len < b.len ? a.len : b.len;
  int order = common == 0 ? 0 : memcmp(a.ptr, b.ptr, common);
  if (order != 0) return order;
  return a.len < b.len ? -1 : a.len > b.len;
}

ptrdiff_t da_slice_find(da_slice s, char byte)
{
  const char *at = s.len == 0 ? NULL : memchr(s.ptr, byte, s.len);
  return at == NULL ? -1 : at - s.ptr;
}

static _Noreturn void out_of_memory(size_t size)
{
  (void)fprintf(stderr, "dahost: out of memory (%zu bytes wanted); stopping, nothing acknowledged is lost\n", size);
  abort();
}

void *da_xmalloc(size_t size)
{
  void *p = malloc(size != 0 ? size : 1);
  if (p == NULL) out_of_memory(size);
  return p;
}

void *da_xcalloc(size_t count, size_t size)
{
  void *p = calloc(count != 0 ? count : 1, size != 0 ? size : 1);
  if (p == NULL) out_of_memory(count * size);
  return p;
}

void *da_xrealloc(void *old, size_t size)
{
  void *p = realloc(old, size != 0 ? size : 1);
  if (p == NULL) out_of_memory(size);
  return p;
}

char *da_xstrndup(da_slice s)
{
  char *copy = da_xmalloc(s.len + 1);
  if (s.len != 0) memcpy(copy, s.ptr, s.len);
  copy[s.len] = '\0';
  return copy;
}

void da_buf_reserve(da_buf *buf, size_t more)
{
  if (buf->cap - buf->len >= more) return;
  size_t cap = buf->cap != 0 ? buf->cap : 64;
  while (cap - buf->len < more) cap *= 2;
  buf->ptr = da_xrealloc(buf->ptr, cap);
  buf->cap = cap;
}

void da_buf_add(da_buf *buf, const void *bytes, size_t len)
{
  if (len == 0) return;
  da_buf_reserve(buf, len);
  memcpy(buf->ptr + buf->len, bytes, len);
  buf->len += len;
}

void da_buf_add_slice(da_buf *buf, da_slice s)
{
  da_buf_add(buf, s.ptr, s.len);
}

void da_buf_add_byte(da_buf *buf, uint8_t byte)
{
  da_buf_add(buf, &byte, 1);
}

void da_buf_add_u32(da_buf *buf, uint32_t value)
{
  uint8_t b[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};
  da_buf_add(buf, b, sizeof b);
}

void da_buf_addv(da_buf *buf, const char *format, va_list args)
{
  va_list again;
  va_copy(again, args);
  int len = vsnprintf(NULL, 0, format, args);
  DA_ASSERT_OP(len, >=, 0);
  da_buf_reserve(buf, (size_t)len + 1);
  (void)vsnprintf(buf->ptr + buf->len, (size_t)len + 1, format, again);
  va_end(again);
  buf->len += (size_t)len;
}

void da_buf_addf(da_buf *buf, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  da_buf_addv(buf, format, args);
  va_end(args);
}

void da_buf_clear(da_buf *buf)
{
  buf->len = 0;
}

void da_buf_free(da_buf *buf)
{
  free(buf->ptr);
  *buf = (da_buf){0};
}
