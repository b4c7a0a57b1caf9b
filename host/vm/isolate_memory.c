/* isolate_memory.c - the allocators of isolates, and how they say no.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "region.h"

/* Lua answers the first refusal with a full collection, then asks for the same once more; nothing is granted in
 * between. Only the second refusal is an error in the script, and scripts could catch that error: hence the poison. */
static void refused(da_isolate *isolate, size_t size)
{
  if (isolate->refused_size == size && isolate->refused_grants == isolate->grants) {
    lua_Debug ar;
    bool deep = lua_getstack(da_isolate_running(isolate), DA_STACK_DEEP, &ar) != 0;
    isolate->quota_hit = true;
    if (isolate->poison == DA_POISON_NONE) isolate->poison = deep ? DA_POISON_STACK : DA_POISON_MEMORY;
  }
  isolate->refused_size = size;
  isolate->refused_grants = isolate->grants;
}

/* While a bundle loads what is freed is wiped, so that no half of a dead address lies in the padding of a new block. */
static void *realloc_wiping(da_isolate *isolate, void *ptr, size_t osize, size_t nsize)
{
  char *base = (char *)isolate;
  if (ptr == NULL) return da_slot_realloc(&isolate->alloc, base, NULL, osize, nsize);
  if (nsize <= osize) {
    memset((char *)ptr + nsize, 0, osize - nsize);
    return da_slot_realloc(&isolate->alloc, base, ptr, osize, nsize);
  }
  void *block = da_slot_realloc(&isolate->alloc, base, NULL, 0, nsize);
  if (block == NULL) return NULL;
  memcpy(block, ptr, osize);
  memset(ptr, 0, osize);
  (void)da_slot_realloc(&isolate->alloc, base, ptr, osize, 0);
  return block;
}

void *da_isolate_alloc_in_slot(void *ud, void *ptr, size_t osize, size_t nsize)
{
  da_isolate *isolate = ud;
  void *block = isolate->wiping ? realloc_wiping(isolate, ptr, osize, nsize)
                                : da_slot_realloc(&isolate->alloc, ud, ptr, osize, nsize);
  if (nsize == 0) return NULL;
  if (block == NULL) {
    refused(isolate, nsize);
  } else {
    isolate->grants++;
  }
  return block;
}

void *da_isolate_alloc_by_malloc(void *ud, void *ptr, size_t osize, size_t nsize)
{
  da_isolate *isolate = ud;
  if (ptr == NULL) osize = 0;
  if (nsize == 0) {
    free(ptr);
    isolate->used -= osize;
    return NULL;
  }
  void *block = NULL;
  if (nsize <= osize || isolate->size - isolate->used >= nsize - osize) block = realloc(ptr, nsize);
  if (block == NULL && nsize <= osize) block = ptr; /* Lua may not be refused when it shrinks */
  if (block == NULL) {
    refused(isolate, nsize);
    return NULL;
  }
  isolate->grants++;
  isolate->used = isolate->used - osize + nsize;
  return block;
}
