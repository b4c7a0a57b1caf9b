/* slot_alloc.c - free lists and a bump pointer, see slot_alloc.h.
 *
 * A block is taken, in this order, from: its exact bin; its own range bin, first fit among a few; the smallest bin
 * above, split; the bump pointer. Merging neighbours at every free would need a header per block; instead all free
 * blocks are sorted by address now and then, before the bump pointer climbs.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "slot_alloc.h"

#include <stdbool.h>
#include <string.h>

#include "../base/status.h"

enum {
  FIT_TRIES = 8,     /* blocks of the own range bin looked at before going one bin up */
  MERGE_LOOSE = 256, /* merge only after so many more frees than blocks were left by the last merge: that bounds its
                      * time per free */
  MERGE_WORTHY = 8   /* and only if this part of the heap is free */
};

typedef struct free_block { /* the first 8 bytes of a free block */
  uint32_t next;
  uint32_t size;
} free_block;

static free_block *block_at(char *base, uint32_t at)
{
  return (free_block *)(void *)(base + (size_t)at * DA_SLOT_GRANULE);
}

static uint64_t granules(size_t bytes)
{
  return ((uint64_t)bytes + DA_SLOT_GRANULE - 1) / DA_SLOT_GRANULE;
}

/* Monotonic: a larger size never gets a lower bin, so every block of a higher bin fits. */
static unsigned bin_of(uint32_t size)
{
  if (size <= DA_SLOT_EXACT) return size - 1;
  unsigned log2 = 31u - (unsigned)__builtin_clz(size); /* at least 5 */
  return DA_SLOT_EXACT + (log2 - 5) * 8 + (size >> (log2 - 3) & 7);
}

void da_slot_alloc_init(da_slot_alloc *alloc, size_t used, size_t size)
{
  uint64_t limit = size / DA_SLOT_GRANULE;
  uint64_t top = granules(used);
  DA_ASSERT_OP(limit, <=, UINT32_MAX);
  DA_ASSERT_OP(top, <, limit);
  memset(alloc, 0, sizeof *alloc);
  alloc->top = alloc->peak = (uint32_t)top;
  alloc->limit = (uint32_t)limit;
}

static void bin_push(da_slot_alloc *alloc, char *base, uint32_t at, uint32_t size)
{
  unsigned bin = bin_of(size);
  free_block *block = block_at(base, at);
  block->next = alloc->bins[bin];
  block->size = size;
  alloc->bins[bin] = at;
  alloc->map[bin / 64] |= UINT64_C(1) << bin % 64;
  alloc->free += size;
  alloc->loose++;
}

static uint32_t bin_pop(da_slot_alloc *alloc, char *base, unsigned bin)
{
  uint32_t at = alloc->bins[bin];
  const free_block *block = block_at(base, at);
  alloc->free -= block->size;
  alloc->bins[bin] = block->next;
  if (alloc->bins[bin] == 0) alloc->map[bin / 64] &= ~(UINT64_C(1) << bin % 64);
  return at;
}

static void give(da_slot_alloc *alloc, char *base, uint32_t at, uint32_t size)
{
  if (at + size == alloc->top) {
    alloc->top = at;
  } else {
    bin_push(alloc, base, at, size);
  }
}

/* First fit among the first blocks of a range bin, whose blocks may be smaller than `size`. */
static uint32_t take_from_range(da_slot_alloc *alloc, char *base, unsigned bin, uint32_t size)
{
  uint32_t before = 0;
  uint32_t at = alloc->bins[bin];
  for (int tries = FIT_TRIES; at != 0 && tries > 0; tries--) {
    free_block *block = block_at(base, at);
    if (block->size >= size) {
      if (before == 0) return bin_pop(alloc, base, bin);
      block_at(base, before)->next = block->next;
      alloc->free -= block->size;
      return at;
    }
    before = at;
    at = block->next;
  }
  return 0;
}

/* The first bin at or above `bin` that has a block, or DA_SLOT_BINS. */
static unsigned bin_above(const da_slot_alloc *alloc, unsigned bin)
{
  unsigned word = bin / 64;
  if (word >= DA_SLOT_MAP_WORDS) return DA_SLOT_BINS;
  uint64_t bits = alloc->map[word] & ~UINT64_C(0) << bin % 64;
  while (bits == 0) {
    if (++word == DA_SLOT_MAP_WORDS) return DA_SLOT_BINS;
    bits = alloc->map[word];
  }
  return word * 64 + (unsigned)__builtin_ctzll(bits);
}

static uint32_t take_from_bins(da_slot_alloc *alloc, char *base, uint32_t size)
{
  unsigned bin = bin_of(size);
  if (size <= DA_SLOT_EXACT && alloc->bins[bin] != 0) return bin_pop(alloc, base, bin);
  uint32_t at = size > DA_SLOT_EXACT ? take_from_range(alloc, base, bin, size) : 0;
  if (at == 0) {
    bin = bin_above(alloc, bin + 1);
    if (bin == DA_SLOT_BINS) return 0;
    at = bin_pop(alloc, base, bin);
  }
  uint32_t have = block_at(base, at)->size;
  if (have > size) bin_push(alloc, base, at + size, have - size);
  return at;
}

static uint32_t take(da_slot_alloc *alloc, char *base, uint64_t size)
{
  if (size > alloc->limit) return 0;
  uint32_t at = take_from_bins(alloc, base, (uint32_t)size);
  if (at != 0) return at;
  bool full = alloc->top + size > alloc->limit;
  bool worthy = alloc->loose >= alloc->merged + MERGE_LOOSE && alloc->free > alloc->top / MERGE_WORTHY;
  if ((full || worthy) && alloc->loose > 0) {
    da_slot_merge(alloc, base);
    at = take_from_bins(alloc, base, (uint32_t)size);
    if (at != 0) return at;
    full = alloc->top + size > alloc->limit;
  }
  if (full) return 0;
  at = alloc->top;
  alloc->top += (uint32_t)size;
  if (alloc->top > alloc->peak) alloc->peak = alloc->top;
  return at;
}

/* Grows the block that ends at top without moving it. */
static bool grow_in_place(da_slot_alloc *alloc, uint32_t at, uint32_t osize, uint64_t nsize)
{
  if (at + osize != alloc->top || at + nsize > alloc->limit) return false;
  alloc->top = at + (uint32_t)nsize;
  if (alloc->top > alloc->peak) alloc->peak = alloc->top;
  return true;
}

void *da_slot_realloc(da_slot_alloc *alloc, char *base, void *ptr, size_t osize, size_t nsize)
{
  uint64_t want = granules(nsize);
  if (ptr == NULL) {
    if (want == 0) return NULL;
    uint32_t fresh = take(alloc, base, want);
    return fresh != 0 ? base + (size_t)fresh * DA_SLOT_GRANULE : NULL;
  }
  uint32_t at = (uint32_t)((size_t)((char *)ptr - base) / DA_SLOT_GRANULE);
  uint32_t have = (uint32_t)granules(osize);
  if (want <= have) {
    if (want < have) give(alloc, base, at + (uint32_t)want, have - (uint32_t)want);
    return want != 0 ? ptr : NULL;
  }
  if (grow_in_place(alloc, at, have, want)) return ptr;
  uint32_t to = take(alloc, base, want);
  if (to == 0) return NULL;
  char *moved = base + (size_t)to * DA_SLOT_GRANULE;
  memcpy(moved, ptr, osize);
  give(alloc, base, at, have);
  return moved;
}

/* Two lists, each from the highest address down, into one. */
static uint32_t merge_lists(char *base, uint32_t a, uint32_t b)
{
  uint32_t head = 0;
  uint32_t *tail = &head;
  while (a != 0 && b != 0) {
    uint32_t *from = a > b ? &a : &b;
    *tail = *from;
    tail = &block_at(base, *from)->next;
    *from = *tail;
  }
  *tail = a != 0 ? a : b;
  return head;
}

/* All free blocks as one list from the highest address down; the bins are left empty. A merge sort that keeps, like
 * the digits of a binary number, at most one sorted list of each power of two: no recursion, no memory. */
static uint32_t drain_sorted(da_slot_alloc *alloc, char *base)
{
  uint32_t piles[32] = {0};
  for (unsigned bin = bin_above(alloc, 0); bin != DA_SLOT_BINS; bin = bin_above(alloc, bin)) {
    while (alloc->bins[bin] != 0) {
      uint32_t list = bin_pop(alloc, base, bin);
      block_at(base, list)->next = 0;
      unsigned power = 0;
      for (; power < 31 && piles[power] != 0; power++) {
        list = merge_lists(base, piles[power], list);
        piles[power] = 0;
      }
      piles[power] = merge_lists(base, piles[power], list);
    }
  }
  uint32_t all = 0;
  for (unsigned power = 0; power < 32; power++) all = merge_lists(base, piles[power], all);
  return all;
}

void da_slot_merge(da_slot_alloc *alloc, char *base)
{
  uint32_t at = drain_sorted(alloc, base);
  alloc->loose = 0;
  while (at != 0) {
    uint32_t low = at;
    uint32_t size = block_at(base, at)->size;
    at = block_at(base, at)->next;
    while (at != 0 && at + block_at(base, at)->size == low) {
      low = at;
      size += block_at(base, at)->size;
      at = block_at(base, at)->next;
    }
    /* From high to low, so that each bin begins with its lowest block: the heap fills from the bottom again. */
    give(alloc, base, low, size);
  }
  alloc->merged = alloc->loose; /* what was pushed just now */
  alloc->loose = 0;
}

void da_slot_scrub(const da_slot_alloc *alloc, char *base)
{
  for (unsigned bin = bin_above(alloc, 0); bin != DA_SLOT_BINS; bin = bin_above(alloc, bin + 1)) {
    for (uint32_t at = alloc->bins[bin]; at != 0; at = block_at(base, at)->next) {
      free_block *block = block_at(base, at);
      memset(block + 1, 0, (size_t)block->size * DA_SLOT_GRANULE - sizeof *block);
    }
  }
}
