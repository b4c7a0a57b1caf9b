/* arena.c - bump allocation in a chain of blocks.
 * SPDX-License-Identifier: Apache-2.0 */
#include "arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { BLOCK_SIZE = 2048, BLOCK_MAX = 65536, ALIGN = 16 };

struct da_arena_block {
  da_arena_block *older;
  size_t size;
  _Alignas(16) char bytes[];
};

static void add_block(da_arena *arena, size_t size)
{
  size_t want = arena->block != NULL ? arena->block->size * 2 : (size_t)BLOCK_SIZE;
  if (want > BLOCK_MAX) want = BLOCK_MAX;
  if (want < size) want = size;
  da_arena_block *block = da_xmalloc(sizeof *block + want);
  block->older = arena->block;
  block->size = want;
  arena->block = block;
  arena->used = 0;
}

void *da_arena_alloc(da_arena *arena, size_t size)
{
  size_t rounded = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
  if (arena->block == NULL || arena->block->size - arena->used < rounded) add_block(arena, rounded);
  void *p = arena->block->bytes + arena->used;
  arena->used += rounded;
  return p;
}

void *da_arena_zalloc(da_arena *arena, size_t size)
{
  return memset(da_arena_alloc(arena, size), 0, size);
}

da_slice da_arena_dup(da_arena *arena, da_slice s)
{
  if (s.len == 0) return da_slice_make(s.ptr != NULL ? "" : NULL, 0);
  return da_slice_make(memcpy(da_arena_alloc(arena, s.len), s.ptr, s.len), s.len);
}

da_slice da_arena_printf(da_arena *arena, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  int len = vsnprintf(NULL, 0, format, args);
  va_end(args);
  DA_ASSERT_OP(len, >=, 0);
  char *text = da_arena_alloc(arena, (size_t)len + 1);
  va_start(args, format);
  (void)vsnprintf(text, (size_t)len + 1, format, args);
  va_end(args);
  return da_slice_make(text, (size_t)len);
}

da_slice da_arena_join(da_arena *arena, const da_slice *parts, size_t count)
{
  size_t len = 0;
  for (size_t i = 0; i < count; i++) len += parts[i].len;
  char *text = da_arena_alloc(arena, len);
  size_t at = 0;
  for (size_t i = 0; i < count; i++) {
    if (parts[i].len != 0) memcpy(text + at, parts[i].ptr, parts[i].len);
    at += parts[i].len;
  }
  return da_slice_make(text, len);
}

size_t da_arena_size(const da_arena *arena)
{
  size_t size = 0;
  for (const da_arena_block *b = arena->block; b != NULL; b = b->older) size += b->size;
  return size;
}

void da_arena_reset(da_arena *arena)
{
  da_arena_block *block = arena->block;
  if (block == NULL) return;
  da_arena_block *older = block->older;
  while (older != NULL) {
    da_arena_block *next = older->older;
    free(older);
    older = next;
  }
  block->older = NULL;
  arena->used = 0;
}

void da_arena_free(da_arena *arena)
{
  da_arena_reset(arena);
  free(arena->block);
  *arena = (da_arena){0};
}
