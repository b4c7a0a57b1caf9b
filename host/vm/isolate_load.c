/* isolate_load.c - loading a bundle for the first time, which is done twice: that tells whether what it leaves may be
 * moved (pristine.h). If so, one image serves all slots.
 * SPDX-License-Identifier: Apache-2.0 */
#include "region.h"

/* Loads into a slot whose memory is as new: what loading does not write is the same in every slot. */
static da_status load_clean(da_region *region, da_slot *s, da_isolate_load *load, void *user, da_err *err)
{
  da_isolate *isolate = da_region_isolate(region, s);
  da_region_forget(region, s, 0);
  da_isolate_create(isolate, region, 0);
  isolate->wiping = true;
  da_status status = da_isolate_start(isolate, load, user, err);
  isolate->wiping = false;
  if (status != DA_OK) return status;
  da_slot_merge(&isolate->alloc, (char *)isolate);
  da_slot_scrub(&isolate->alloc, (char *)isolate);
  return DA_OK;
}

static bool make_movable(da_region *region, da_loading *out, const da_isolate *a, const da_isolate *b)
{
  size_t size = da_isolate_used(a);
  if (!da_isolate_imageable(a) || !da_isolate_imageable(b) || da_isolate_used(b) != size) return false;
  if (!da_pristine_make(&out->image, (const char *)a, (const char *)b, size, region->slot_size)) return false;
  region->stats.images++;
  region->stats.image_bytes += size;
  return true;
}

static da_loading *loading_place(da_region *region)
{
  da_loading *oldest = &region->loadings[0];
  for (size_t i = 1; i < DA_BUNDLES_MAX; i++)
    if (region->loadings[i].used_at < oldest->used_at) oldest = &region->loadings[i];
  if (oldest->movable) {
    region->stats.images--;
    region->stats.image_bytes -= oldest->image.size;
  }
  da_pristine_free(&oldest->image);
  *oldest = (da_loading){.used_at = 0};
  return oldest;
}

/* Lua hashes an address by the remainder of its low 32 bits by 2^n - 1 (hashpointer in ltable.c). Only if those differ
 * between the two slots for every n does a table keyed by addresses look different in them, and is found. */
static bool tells_hashes(da_region *region, const da_slot *a, const da_slot *b)
{
  uint32_t x = (uint32_t)(uintptr_t)da_region_isolate(region, a), y = (uint32_t)(uintptr_t)da_region_isolate(region, b);
  uint32_t distance = x < y ? y - x : x - y;
  for (unsigned n = 2; n < 32; n++)
    if (distance % ((UINT32_C(1) << n) - 1) == 0) return false;
  return true;
}

/* Takes two slots at such a distance; pair[1] stays NULL if there are none among the next few. */
static void take_pair(da_region *region, const da_digest *key, da_slot *pair[2])
{
  enum { TRIES = 16 };
  da_slot *passed[TRIES];
  size_t count = 0;
  pair[0] = da_region_take(region, key);
  while (pair[0] != NULL && pair[1] == NULL && count < TRIES) {
    da_slot *next = da_region_take(region, key);
    if (next == NULL) break;
    if (tells_hashes(region, pair[0], next))
      pair[1] = next;
    else
      passed[count++] = next;
  }
  while (count > 0) da_region_give(region, passed[--count], 0);
}

/* The two loads run at the same depth of the C stack, addresses of which lie about in dead places of Lua's stack. */
da_status da_loading_learn(da_region *region, const da_digest *key, da_isolate_load *load, void *user, da_err *err)
{
  da_slot *pair[2] = {NULL, NULL};
  take_pair(region, key, pair);
  da_status status = DA_OK;
  for (int i = 0; i < 2 && status == DA_OK && pair[1] != NULL; i++)
    status = load_clean(region, pair[i], load, user, err);
  if (status == DA_OK && pair[1] != NULL) {
    da_loading *place = loading_place(region);
    place->key = *key;
    place->used_at = region->stats.created + region->stats.recycled + 1;
    place->movable =
        make_movable(region, place, da_region_isolate(region, pair[0]), da_region_isolate(region, pair[1]));
  }
  for (int i = 1; i >= 0; i--)
    if (pair[i] != NULL) da_isolate_stop(region, pair[i]);
  return status;
}

da_loading *da_loading_find(da_region *region, const da_digest *key)
{
  for (size_t i = 0; i < DA_BUNDLES_MAX; i++) {
    da_loading *known = &region->loadings[i];
    if (known->used_at == 0 || !da_digest_eq(&known->key, key)) continue;
    known->used_at = region->stats.created + region->stats.recycled + 1;
    return known;
  }
  return NULL;
}
