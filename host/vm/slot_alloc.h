/* slot_alloc.h - the allocator of one isolate: it lives inside the slot it hands out.
 *
 * Here:     a bump pointer, free lists in 16-byte granules, merging of neighbours before the bump pointer climbs.
 * Promise:  deterministic: what it answers depends on the calls made and on nothing else (no addresses, no clock). All
 *           of its state is this struct and the free blocks, so the bytes [base, base + top) are the whole of it and
 *           may be copied back at any later time.
 * Why own:  Lua tells the old size with every call, so blocks need no headers; and a heap that is one range of bytes
 *           can be put back with one memcpy.
 * Threads:  one at a time.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_VM_SLOT_ALLOC_H
#define DA_VM_SLOT_ALLOC_H

#include <stddef.h>
#include <stdint.h>

enum {
  DA_SLOT_GRANULE = 16,
  DA_SLOT_EXACT = 32, /* bins for blocks of 1..32 granules (512 bytes), one size each */
  /* Above that 8 bins per doubling. Sizes are below 2^32 granules: 27 doublings from 2^5. */
  DA_SLOT_BINS = DA_SLOT_EXACT + 27 * 8,
  DA_SLOT_MAP_WORDS = (DA_SLOT_BINS + 63) / 64
};

/* Offsets and sizes are in granules from the slot's start. Granule 0 holds the slot's header, so 0 means "none". */
typedef struct da_slot_alloc {
  uint32_t top;                    /* everything from here on is unused */
  uint32_t peak;                   /* highest top ever: pages above were never touched */
  uint32_t limit;                  /* end of the slot */
  uint32_t free;                   /* in free blocks */
  uint32_t loose;                  /* free blocks added since the last merge */
  uint32_t merged;                 /* free blocks the last merge left */
  uint64_t map[DA_SLOT_MAP_WORDS]; /* bit set: the bin has a block */
  uint32_t bins[DA_SLOT_BINS];     /* first free block */
} da_slot_alloc;

/* `used` bytes at the start of the slot are taken (its header), the slot ends at `size`. */
void da_slot_alloc_init(da_slot_alloc *alloc, size_t used, size_t size);

/* As a lua_Alloc: nsize 0 frees; osize is the size of ptr (any value when ptr is NULL). `base` is the slot's start.
 * Shrinking never fails. NULL: it does not fit. */
void *da_slot_realloc(da_slot_alloc *alloc, char *base, void *ptr, size_t osize, size_t nsize);

/* Merges free neighbours and lowers top over what is free below it. */
void da_slot_merge(da_slot_alloc *alloc, char *base);
/* Zeroes every free block but its link: dead bytes of a script's data do not reach an image. */
void da_slot_scrub(const da_slot_alloc *alloc, char *base);

#endif
