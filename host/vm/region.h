/* region.h - the region's slots, for the files that make isolates of them (isolate*.c, region.c).
 *
 * Here:     what is known of a slot and of a bundle's loading; taking a slot, giving it back, its image.
 * May not:  be included by anybody else: isolate.h is the door.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_VM_REGION_H
#define DA_VM_REGION_H

#include "isolate_parts.h"
#include "pristine.h"

enum {
  DA_IMAGE_BUCKETS = 64,
  DA_BUNDLES_MAX = 32 /* bundles whose loading is remembered */
};

/* What the region knows of a slot, outside of it. A slot is in one `list` of the region, and, if it has an image and is
 * free, in the chain of its bucket. */
typedef struct da_slot {
  struct da_slot *prev, *next;         /* in its list */
  struct da_slot *key_prev, *key_next; /* free slots with an image, by key */
  char *image;                         /* owned; NULL: none */
  size_t image_size;
  size_t kept; /* blank: bytes from its start that were not given back to the system */
  da_digest key;
  uint64_t taken_at; /* region->created + region->recycled when it was taken */
  bool busy;
  bool imaged; /* busy: the next one to be in it may be its image */
  bool reserved;
  bool used; /* ever: else it is in no list */
} da_slot;

/* What is known of a bundle's loading. */
typedef struct da_loading {
  da_digest key;
  bool movable;
  da_pristine image;
  uint64_t used_at; /* 0: this place is free */
} da_loading;

typedef struct da_slot_list {
  da_slot *first; /* newest */
  da_slot *last;
  size_t count;
} da_slot_list;

struct da_region {
  char *base; /* NULL: malloc mode */
  size_t slot_size;
  size_t slot_count;
  size_t limit; /* isolates at the same time */
  size_t images_max;
  da_slot *slots;                     /* owned */
  size_t first;                       /* the slot that was used first, by chance: see region.c */
  size_t passed;                      /* slots from there on that were looked at for one that was never used */
  da_slot_list blank;                 /* free, without image; those that keep memory first */
  size_t kept;                        /* by them, bytes */
  da_slot_list reserved;              /* free, blank; images of suspended executions fit them, longest so first */
  da_slot_list ready;                 /* free, with an image */
  da_slot_list held;                  /* busy, with an image */
  da_slot_list plain;                 /* busy, without image */
  da_slot *buckets[DA_IMAGE_BUCKETS]; /* the ready ones by key, newest first */
  da_loading loadings[DA_BUNDLES_MAX];
  da_region_stats stats;
  uint32_t seed;
};

/* ---- region.c ------------------------------------------------------------------------------------------ */

static inline da_isolate *da_region_isolate(const da_region *region, const da_slot *s)
{
  return (da_isolate *)(void *)(region->base + (size_t)(s - region->slots) * region->slot_size);
}
/* A free slot, out of its list, in order of preference; NULL if every slot is busy. */
da_slot *da_region_take(da_region *region, const da_digest *key);
/* This one, which is free, out of its list, without an image. */
void da_region_take_slot(da_region *region, da_slot *s);
/* An isolate lives in it from now on; and no more. `peak` is how far its memory was touched. */
void da_region_hold(da_region *region, da_slot *s);
void da_region_release(da_region *region, da_slot *s, size_t peak);
/* Takes back a slot that was taken and never held. */
void da_region_give(da_region *region, da_slot *s, size_t peak);
/* Gives the pages of a slot from byte `from` on back to the system. */
void da_region_forget(const da_region *region, const da_slot *s, size_t from);
/* Keeps what was just loaded into the slot, if it can be kept and there is room. */
void da_region_keep_image(da_region *region, da_slot *s, da_isolate *isolate, const da_digest *key);

/* ---- isolate_memory.c ---------------------------------------------------------------------------------- */

void *da_isolate_alloc_in_slot(void *ud, void *ptr, size_t osize, size_t nsize);
void *da_isolate_alloc_by_malloc(void *ud, void *ptr, size_t osize, size_t nsize);

/* ---- image_dump.c -------------------------------------------------------------------------------------- */

/* If that is asked for: what an image of the slot is packed from. */
void da_image_dump(const void *slot, const void *bytes, size_t size);

/* ---- isolate.c ----------------------------------------------------------------------------------------- */

void da_isolate_create(da_isolate *isolate, da_region *region, uint32_t index);
/* Opens its Lua state and loads into it. */
da_status da_isolate_start(da_isolate *isolate, da_isolate_load *load, void *user, da_err *err);
/* Ends what was started in a slot that was never held. */
void da_isolate_stop(da_region *region, da_slot *s);

/* ---- isolate_load.c ------------------------------------------------------------------------------------ */

/* What is known of the bundle's loading; NULL: nothing. */
da_loading *da_loading_find(da_region *region, const da_digest *key);
/* Loads it twice, to learn whether what that leaves may be moved. */
da_status da_loading_learn(da_region *region, const da_digest *key, da_isolate_load *load, void *user, da_err *err);

#endif
