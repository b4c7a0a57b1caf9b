/* pristine.c - images of freshly loaded slots that fit every slot.
 * SPDX-License-Identifier: Apache-2.0 */
#include "pristine.h"

#include <stdlib.h>
#include <string.h>

#include "../base/bytes.h"

/* Calls for each word that is an address; false when a word is neither that nor the same in both. */
static bool compare(da_pristine *image, const uint64_t *a, const uint64_t *b, size_t extent)
{
  uint64_t from = (uintptr_t)a, distance = (uintptr_t)b - (uintptr_t)a;
  size_t cap = 0;
  for (size_t i = 0; i < image->size / sizeof *a; i++) {
    if (a[i] == b[i]) continue;
    if (b[i] - a[i] != distance || a[i] - from >= extent) return false;
    if (image->word_count == cap) {
      cap = cap != 0 ? cap * 2 : 1024;
      image->words = da_xrealloc(image->words, cap * sizeof *image->words);
    }
    image->words[image->word_count++] = (uint32_t)i;
  }
  return true;
}

bool da_pristine_make(da_pristine *image, const char *a, const char *b, size_t size, size_t extent)
{
  *image = (da_pristine){.size = size, .origin = (uintptr_t)a};
  DA_ASSERT(size % sizeof(uint64_t) == 0);
  if (!compare(image, (const void *)a, (const void *)b, extent)) {
    da_pristine_free(image);
    return false;
  }
  image->bytes = memcpy(da_xmalloc(size), a, size);
  return true;
}

void da_pristine_put(const da_pristine *image, char *to, const char *at)
{
  uint64_t distance = (uintptr_t)at - image->origin;
  uint64_t *words = (void *)to;
  memcpy(to, image->bytes, image->size);
  for (size_t i = 0; i < image->word_count; i++) words[image->words[i]] += distance;
}

void da_pristine_free(da_pristine *image)
{
  free(image->bytes);
  free(image->words);
  *image = (da_pristine){0};
}
