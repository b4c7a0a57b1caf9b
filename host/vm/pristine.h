/* pristine.h - what loading a bundle leaves in a slot, in a form that fits every slot.
 *
 * A heap that lies in one range of bytes holds addresses of that range. Which words those are is found by loading the
 * same bundle twice, in two slots: loading is deterministic, so two words at the same place are equal, or they differ
 * by the distance of the slots and are addresses. Where anything else differs the state depends on where it lies (a
 * table keyed by tables or functions is ordered by their addresses) and must not be moved.
 *
 * Here:     making and putting down such an image.
 * May not:  know Lua; decide which image is kept.
 * Threads:  an image is immutable.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_VM_PRISTINE_H
#define DA_VM_PRISTINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct da_pristine {
  char *bytes; /* owned */
  size_t size;
  uintptr_t origin; /* the address that the addresses in it are for */
  uint32_t *words;  /* owned: which 8-byte words are such */
  size_t word_count;
} da_pristine;

/* Both ranges begin at a slot's start and hold what one load left there; extent: size of a slot. False: not movable. */
bool da_pristine_make(da_pristine *image, const char *a, const char *b, size_t size, size_t extent);
/* Writes to `to` what a slot at the address `at` holds. */
void da_pristine_put(const da_pristine *image, char *to, const char *at);
void da_pristine_free(da_pristine *image);

#endif
