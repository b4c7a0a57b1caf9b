/* isolate_image.c - a suspended isolate as bytes that fit its slot in another process of the same build.
 *
 * What is kept is the difference to the pristine image of the bundle, where that can be made again at will
 * (pristine.h): most of a young heap is what loading left there. The header's pointers into this process are left out.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <lauxlib.h>
#include <stdlib.h>

#include "region.h"

/* Words that look like addresses of the C stack or of libraries are zero in the base: what loading left in dead places
 * of Lua's stack differs from process to process. (In the image they are as they were.) */
enum { FOREIGN_FIRST = 0x7c, FOREIGN_LAST = 0x7f };

static da_slot *slot_of(const da_isolate *isolate)
{
  return &isolate->region->slots[isolate->index];
}

static void forget_process(da_isolate *header)
{
  DA_ASSERT(header != NULL);
  header->region = NULL;
  header->host = NULL;
  header->index = 0;
  atomic_store_explicit(&header->running, NULL, memory_order_relaxed);
  header->sliced = false;
}

/* What a slot at `at` would hold after loading, as both sides take it; in memory of this thread. NULL: not known. */
static const uint64_t *make_base(da_region *region, const da_digest *key, const char *at, size_t *size)
{
  static _Thread_local char *scratch; /* grows */
  static _Thread_local size_t cap;
  const da_loading *known = da_loading_find(region, key);
  *size = 0;
  if (known == NULL || !known->movable) return NULL;
  if (cap < known->image.size) {
    cap = known->image.size;
    scratch = da_xrealloc(scratch, cap);
  }
  da_pristine_put(&known->image, scratch, at);
  forget_process((da_isolate *)(void *)scratch);
  uint64_t *words = (void *)scratch;
  for (size_t i = 0; i < known->image.size / sizeof *words; i++)
    if (words[i] >> 40 >= FOREIGN_FIRST && words[i] >> 40 <= FOREIGN_LAST) words[i] = 0;
  *size = known->image.size;
  return words;
}

/* Each collection paints what is alive in the other one of two colours, a byte in every object. Is it the one that the
 * pristine image has? Where that byte lies is Lua's own affair: a wrong answer makes an image larger, no worse. */
static bool is_painted_alike(const da_isolate *isolate, const da_digest *key)
{
  const da_loading *known = da_loading_find(isolate->region, key);
  size_t at = (size_t)((const char *)isolate->L - (const char *)isolate) + sizeof(void *) + 1;
  if (known == NULL || !known->movable || at >= known->image.size) return true;
  return known->image.bytes[at] == ((const char *)isolate)[at];
}

void da_isolate_tidy(da_isolate *isolate, const da_digest *key)
{
  DA_ASSERT(da_isolate_imageable(isolate));
  (void)lua_gc(isolate->L, LUA_GCCOLLECT);
  if (!is_painted_alike(isolate, key)) (void)lua_gc(isolate->L, LUA_GCCOLLECT);
  da_slot_merge(&isolate->alloc, (char *)isolate);
  da_slot_scrub(&isolate->alloc, (char *)isolate);
}

void da_isolate_each_handle(const da_isolate *isolate, void (*visit)(void *user, uint32_t number), void *user)
{
  const uint64_t *words = (const void *)isolate;
  size_t count = da_isolate_used(isolate) / sizeof *words;
  for (size_t i = (sizeof *isolate + 7) / sizeof *words; i + 1 < count; i++)
    if (words[i] == DA_HANDLE_TAG) {
      uint32_t number;
      memcpy(&number, &words[i + 1], sizeof number);
      visit(user, number);
    }
}

void da_isolate_save(const da_isolate *isolate, const da_digest *key, da_isolate_image *out)
{
  size_t base_size;
  const uint64_t *base = make_base(isolate->region, key, (const char *)isolate, &base_size);
  size_t size = da_isolate_used(isolate);
  uint64_t *words = memcpy(da_xmalloc(size), isolate, size);
  forget_process((da_isolate *)(void *)words);
  da_image_dump(isolate, words, size);
  *out = (da_isolate_image){.slot = isolate->index, .bytes = (char *)words, .size = size};
  if (base == NULL || base_size > size) return;
  out->has_base = true;
  out->base = da_hash128(da_slice_make((const char *)base, base_size));
  for (size_t i = 0; i < base_size / sizeof *base; i++) words[i] ^= base[i];
}

void da_isolate_image_free(da_isolate_image *image)
{
  free(image->bytes);
  *image = (da_isolate_image){0};
}

/* The image has been authenticated; what remains is whether it fits this region. */
static bool fits(const da_region *region, const da_isolate *isolate, size_t size)
{
  return isolate->magic == DA_ISOLATE_MAGIC && isolate->size == region->slot_size && isolate->poison == 0 &&
         !isolate->touched && (size_t)isolate->alloc.top * DA_SLOT_GRANULE == size &&
         (const char *)isolate->L > (const char *)isolate && (const char *)isolate->L < (const char *)isolate + size;
}

static da_status put(da_region *region, da_slot *s, const da_digest *key, const da_isolate_image *image,
                     da_isolate **out, da_err *err)
{
  da_isolate *isolate = da_region_isolate(region, s);
  size_t base_size = 0;
  const uint64_t *base = image->has_base ? make_base(region, key, (char *)isolate, &base_size) : NULL;
  if (image->has_base) {
    da_digest hash = da_hash128(da_slice_make((const char *)base, base_size));
    if (base == NULL || base_size > image->size || !da_digest_eq(&hash, &image->base))
      return da_fail(err, DA_EVERSION, "its code loads in another way here");
  }
  uint64_t *words = memcpy((char *)isolate, image->bytes, image->size);
  for (size_t i = 0; i < base_size / sizeof *base; i++) words[i] ^= base[i];
  if (!fits(region, isolate, image->size)) return da_fail(err, DA_EVERSION, "it is of another region");
  isolate->region = region;
  isolate->index = image->slot;
  da_isolate_set_running(isolate, isolate->L);
  *out = isolate;
  return DA_OK;
}

da_isolate *da_isolate_in_slot(const da_region *region, size_t slot)
{
  if (region->base == NULL || slot >= region->slot_count || !region->slots[slot].busy) return NULL;
  return da_region_isolate(region, &region->slots[slot]);
}

da_status da_isolate_restore(da_region *region, const da_digest *key, da_isolate_load *load, void *user,
                             const da_isolate_image *image, da_isolate **out, da_err *err)
{
  if (region->base == NULL || image->slot >= region->slot_count || image->size > region->slot_size ||
      image->size < sizeof(da_isolate) || image->size % sizeof(uint64_t) != 0)
    return da_fail(err, DA_EVERSION, "there is no such slot");
  if (region->stats.used == region->limit)
    return da_fail(err, DA_EQUEUE, "all %zu slots for executions are in use", region->limit);
  da_status status = DA_OK;
  if (image->has_base && da_loading_find(region, key) == NULL) status = da_loading_learn(region, key, load, user, err);
  if (status != DA_OK) return status;
  da_slot *s = &region->slots[image->slot];
  if (s->busy) return da_fail(err, DA_EBUSY, "its slot is in use");
  da_region_take_slot(region, s);
  status = put(region, s, key, image, out, err);
  if (status != DA_OK) {
    da_region_give(region, s, image->size);
    return status;
  }
  region->stats.restored++;
  s->imaged = true;
  da_region_hold(region, s);
  return DA_OK;
}

void da_isolate_set_imaged(da_isolate *isolate)
{
  slot_of(isolate)->imaged = true;
}
