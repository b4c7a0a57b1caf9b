/* arena.h - memory with one life: many small pieces, dropped together.
 *
 * Every op has one arena; its request, answer and records live there and die when the op is deleted.
 * Pieces are aligned to 16 bytes and never moved. One thread at a time.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BASE_ARENA_H
#define DA_BASE_ARENA_H

#include "bytes.h"

typedef struct da_arena_block da_arena_block;

typedef struct da_arena {
  da_arena_block *block; /* newest; owned */
  size_t used;           /* in the newest block */
} da_arena;              /* {0} is an empty arena */

void *da_arena_alloc(da_arena *arena, size_t size);  /* not zeroed, never NULL */
void *da_arena_zalloc(da_arena *arena, size_t size); /* zeroed */
da_slice da_arena_dup(da_arena *arena, da_slice s);
da_slice da_arena_printf(da_arena *arena, const char *format, ...) DA_PRINTF(2, 3);
/* Concatenation of count slices. */
da_slice da_arena_join(da_arena *arena, const da_slice *parts, size_t count);
size_t da_arena_size(const da_arena *arena);
void da_arena_reset(da_arena *arena); /* keeps one block */
void da_arena_free(da_arena *arena);

#endif
