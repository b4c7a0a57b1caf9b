/* region.c - the region and its slots: which are free, what they keep, their images.
 *
 * A free slot is, in this order of preference: with the image of the wanted bundle; blank; with the image of another
 * bundle (which is dropped, the longest unused first). Free slots are taken newest first, while their pages are hot;
 * but those that an image of a suspended execution fits behind all others, since it fits no other slot. Each process
 * begins at another one, or executions that begin would mostly sit where images of an earlier one belong.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "region.h"

#include "../base/clock.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* AddressSanitizer keeps its shadow at the usual place, ThreadSanitizer allows no other than it. */
#if defined(__SANITIZE_ADDRESS__)
#define REGION_BASE 0x200000000000
#else
#define REGION_BASE 0x1000000000
#endif

enum {
  SLOT_SIZE = 32 << 20,
  LIMIT = 2048,
  SPREAD = 4, /* slots for each isolate there may be, so that few of those that images fit are in use */
  IMAGES_MAX = 256,
  KEEP_BYTES = 256 << 10, /* a free slot keeps this much touched memory; refaulting costs more */
  KEEP_TOTAL = 128 << 20, /* blank free slots keep no more than this together: some thousand of small executions */
  TRIM_SLOTS = 16,        /* ... and after da_region_trim() no more than so many of them do */
  STALE_AFTER = 1024      /* isolates made since: a busy slot's image may be taken for someone else's */
};

/* ---- lists of slots ---- */

static void list_add(da_slot_list *list, da_slot *s)
{
  s->prev = NULL;
  s->next = list->first;
  if (list->first != NULL) {
    list->first->prev = s;
  } else {
    list->last = s;
  }
  list->first = s;
  list->count++;
}

static void list_add_last(da_slot_list *list, da_slot *s)
{
  s->next = NULL;
  s->prev = list->last;
  if (list->last != NULL) {
    list->last->next = s;
  } else {
    list->first = s;
  }
  list->last = s;
  list->count++;
}

static void list_remove(da_slot_list *list, da_slot *s)
{
  if (s->prev != NULL) {
    s->prev->next = s->next;
  } else {
    list->first = s->next;
  }
  if (s->next != NULL) {
    s->next->prev = s->prev;
  } else {
    list->last = s->prev;
  }
  list->count--;
}

static da_slot **bucket_of(da_region *region, const da_digest *key)
{
  return &region->buckets[key->bytes[0] % DA_IMAGE_BUCKETS];
}

static void ready_add(da_region *region, da_slot *s)
{
  da_slot **bucket = bucket_of(region, &s->key);
  list_add(&region->ready, s);
  s->key_prev = NULL;
  s->key_next = *bucket;
  if (*bucket != NULL) (*bucket)->key_prev = s;
  *bucket = s;
}

static void ready_remove(da_region *region, da_slot *s)
{
  list_remove(&region->ready, s);
  if (s->key_prev != NULL) {
    s->key_prev->key_next = s->key_next;
  } else {
    *bucket_of(region, &s->key) = s->key_next;
  }
  if (s->key_next != NULL) s->key_next->key_prev = s->key_prev;
}

static void image_drop(da_region *region, da_slot *s)
{
  region->stats.images--;
  region->stats.image_bytes -= s->image_size;
  free(s->image);
  s->image = NULL;
  s->image_size = 0;
}

/* The next slot that was never used, or NULL. */
static da_slot *take_unused(da_region *region)
{
  while (region->passed < region->slot_count) {
    da_slot *s = &region->slots[(region->first + region->passed++) % region->slot_count];
    if (s->used) continue;
    s->used = true;
    return s;
  }
  return NULL;
}

da_slot *da_region_take(da_region *region, const da_digest *key)
{
  for (da_slot *s = *bucket_of(region, key); s != NULL; s = s->key_next) {
    if (da_digest_eq(&s->key, key)) {
      ready_remove(region, s);
      return s;
    }
  }
  if (region->blank.first != NULL) {
    da_slot *s = region->blank.first;
    list_remove(&region->blank, s);
    region->kept -= s->kept;
    s->kept = 0;
    return s;
  }
  da_slot *unused = take_unused(region);
  if (unused != NULL) return unused;
  if (region->reserved.first != NULL) {
    da_slot *s = region->reserved.first;
    list_remove(&region->reserved, s);
    s->reserved = false;
    return s;
  }
  da_slot *s = region->ready.last;
  if (s == NULL) return NULL;
  ready_remove(region, s);
  image_drop(region, s);
  return s;
}

void da_region_take_slot(da_region *region, da_slot *s)
{
  DA_ASSERT(!s->busy);
  if (!s->used) {
    s->used = true;
  } else if (s->image != NULL) {
    ready_remove(region, s);
    image_drop(region, s);
  } else {
    list_remove(s->reserved ? &region->reserved : &region->blank, s);
    s->reserved = false;
    region->kept -= s->kept;
    s->kept = 0;
  }
}

void da_region_hold(da_region *region, da_slot *s)
{
  s->busy = true;
  s->taken_at = region->stats.created + region->stats.recycled;
  region->stats.used++;
  list_add(s->image != NULL ? &region->held : &region->plain, s);
}

void da_region_forget(const da_region *region, const da_slot *s, size_t from)
{
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  from = (from + page - 1) & ~(page - 1);
  (void)madvise((char *)da_region_isolate(region, s) + from, region->slot_size - from, MADV_DONTNEED);
}

static void blank_add(da_region *region, da_slot *s, size_t peak)
{
  s->kept = peak < KEEP_BYTES ? peak : KEEP_BYTES;
  if (region->kept + s->kept > KEEP_TOTAL || s->imaged) s->kept = 0;
  if (peak > s->kept) da_region_forget(region, s, s->kept);
  region->kept += s->kept;
  s->reserved = s->imaged;
  s->imaged = false;
  if (s->reserved)
    list_add_last(&region->reserved, s);
  else if (s->kept > 0)
    list_add(&region->blank, s);
  else
    list_add_last(&region->blank, s);
}

void da_region_give(da_region *region, da_slot *s, size_t peak)
{
  s->busy = false;
  if (s->image != NULL) {
    if (peak > s->image_size + KEEP_BYTES) da_region_forget(region, s, s->image_size);
    ready_add(region, s);
    return;
  }
  blank_add(region, s, peak);
}

void da_region_release(da_region *region, da_slot *s, size_t peak)
{
  list_remove(s->image != NULL ? &region->held : &region->plain, s);
  region->stats.used--;
  da_region_give(region, s, peak);
}

void da_region_trim(da_region *region)
{
  da_slot *s = region->blank.first;
  for (size_t i = 0; i < TRIM_SLOTS && s != NULL; i++) s = s->next;
  for (; s != NULL && s->kept > 0; s = s->next) {
    da_region_forget(region, s, 0);
    region->kept -= s->kept;
    s->kept = 0;
  }
}

/* ---- images ---- */

/* May this slot, just loaded, keep an image? Makes room for it if it can. */
static bool image_room(da_region *region)
{
  if (region->stats.images < region->images_max) return true;
  da_slot *s = region->ready.last; /* another bundle's: one of ours would have been taken */
  if (s != NULL) {
    ready_remove(region, s);
    image_drop(region, s);
    blank_add(region, s, region->slot_size);
    return true;
  }
  /* All are held. Take from one that has been held for long: it will not be recycled soon. To take from the oldest in
   * any case would, with more isolates in turn than images, always hit the one wanted next. */
  s = region->held.last;
  if (region->stats.created + region->stats.recycled - s->taken_at < STALE_AFTER) return false;
  list_remove(&region->held, s);
  image_drop(region, s);
  list_add(&region->plain, s);
  return true;
}

void da_region_keep_image(da_region *region, da_slot *s, da_isolate *isolate, const da_digest *key)
{
  if (!da_isolate_imageable(isolate) || !image_room(region)) return;
  da_slot_merge(&isolate->alloc, (char *)isolate);
  da_slot_scrub(&isolate->alloc, (char *)isolate);
  size_t size = da_isolate_used(isolate);
  char *image = malloc(size); /* without it the slot only loads again */
  if (image == NULL) return;
  memcpy(image, isolate, size);
  s->image = image;
  s->image_size = size;
  s->key = *key;
  region->stats.images++;
  region->stats.image_bytes += size;
}

/* ---- the region ---- */

static char *reserve(void *at, size_t size)
{
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (at != NULL ? MAP_FIXED_NOREPLACE : 0);
  char *base = mmap(at, size, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (base == MAP_FAILED) return NULL;
  if (at != NULL && base != at) { /* a kernel that does not know the flag takes the address as a hint */
    (void)munmap(base, size);
    return NULL;
  }
  /* A huge page per isolate would cost 2 MiB where 40 KiB are needed. */
  (void)madvise(base, size, MADV_NOHUGEPAGE);
  return base;
}

/* At the build's address, else anywhere; in full, else halved as often as it leaves 16 slots. */
static void region_reserve(da_region *region)
{
  void *wanted[] = {(void *)REGION_BASE, NULL};
  for (size_t i = 0; i < 2; i++) {
    for (size_t count = region->slot_count; count > 0; count = count > 16 ? count / 2 : 0) {
      region->base = reserve(wanted[i], count * region->slot_size);
      if (region->base == NULL) continue;
      region->slot_count = count;
      if (region->limit > count) region->limit = count;
      region->stats.slots = region->limit;
      region->stats.fixed = wanted[i] != NULL;
      return;
    }
  }
}

static bool malloc_wanted(const da_isolates_options *options)
{
  const char *arena = getenv("DAHOST_ARENA");
  return options->malloc_only || (arena != NULL && strcmp(arena, "malloc") == 0);
}

da_status da_region_new(const da_isolates_options *options, da_region **out, da_err *err)
{
  static const da_isolates_options defaults;
  if (options == NULL) options = &defaults;
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  size_t size = options->slot_size != 0 ? options->slot_size : SLOT_SIZE;
  if (size < 2 * page || size > (size_t)DA_SLOT_GRANULE * UINT32_MAX / 2) {
    return da_fail(err, DA_EINVAL, "a memory quota of %zu bytes for an execution is out of range", size);
  }
  da_region *region = da_xcalloc(1, sizeof *region);
  region->slot_size = (size + page - 1) & ~(page - 1);
  region->limit = options->slot_count != 0 ? options->slot_count : LIMIT;
  region->slot_count = SPREAD * region->limit;
  region->images_max = options->images_max != 0 ? options->images_max : IMAGES_MAX;
  region->seed = options->seed;
  region->stats.seed = options->seed;
  region->stats.slot_size = region->slot_size;
  if (!malloc_wanted(options)) region_reserve(region);
  if (region->base != NULL) region->slots = da_xcalloc(region->slot_count, sizeof *region->slots);
  region->first = (size_t)(da_clock_mono_ns() / 1000) % region->slot_count;
  *out = region;
  return DA_OK;
}

void da_region_delete(da_region *region)
{
  if (region == NULL) return;
  DA_ASSERT_OP(region->stats.used, ==, 0);
  for (size_t i = 0; i < region->slot_count && region->base != NULL; i++) free(region->slots[i].image);
  for (size_t i = 0; i < DA_BUNDLES_MAX; i++) da_pristine_free(&region->loadings[i].image);
  if (region->base != NULL) (void)munmap(region->base, region->slot_count * region->slot_size);
  free(region->slots);
  free(region);
}

da_region_stats da_region_stat(const da_region *region)
{
  return region->stats;
}
