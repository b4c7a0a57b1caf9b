/* image.h - the image of a suspended execution as bytes in the store: packed, sealed, and opened with distrust.
 *
 * An image is the isolate's memory (isolate_image.c) and what the host knows of the execution beside it
 * (image_state.c), compressed with LZ4. It holds addresses of functions, so whoever can write one can run code: it is
 * sealed by a keyed MAC, with a key of the store that lies outside of it, bound to the id of the execution, and opened
 * by no other build of the program (its ABI id). It is a cache: whatever is wrong with one, the records hold all.
 *
 * Here:     the format, the MAC, the ABI id.
 * May not:  read or write a store; know what is in the two parts.
 * Threads:  any.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_VM_IMAGE_H
#define DA_VM_IMAGE_H

#include "../base/arena.h"
#include "../base/hmac.h"
#include "isolate.h"

typedef struct da_image {
  da_digest bundle;         /* the code */
  uint32_t generation;      /* of the execution */
  da_slice state;           /* of the host */
  da_isolate_image isolate; /* bytes borrowed */
} da_image;

/* Does the program lie where it was linked to, with Lua in it and a build id? */
bool da_image_possible(void);
/* What images of this process fit: its build, and where the region lies. False: none but itself, as in a program at no
 * fixed address, or with Lua in a library of its own. */
bool da_image_abi(const da_region *region, da_digest *out);

/* Appends the sealed bytes. False: there is no MAC to be had, or it is too big. */
bool DA_MUST_USE da_image_seal(const da_mac *key, const da_digest *abi, da_slice id, const da_image *image,
                               da_buf *out);
/* What it holds, in the arena. NULL, or why it is none; static. */
const char *da_image_open(const da_mac *key, const da_digest *abi, da_slice id, da_slice bytes, da_arena *arena,
                          da_image *out);

#endif
