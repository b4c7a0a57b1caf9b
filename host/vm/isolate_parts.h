/* isolate_parts.h - the slot header, for the files that make isolates and the determinism library alone.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_VM_ISOLATE_PARTS_H
#define DA_VM_ISOLATE_PARTS_H

#include <stdatomic.h>

#include "isolate.h"
#include "slot_alloc.h"

/* A stream of numbers: xoshiro256** of David Blackman and Sebastiano Vigna (https://prng.di.unimi.it), as in Lua. */
typedef struct da_random {
  uint64_t s[4];
} da_random;

#define DA_ISOLATE_MAGIC UINT64_C(0x316574616c6f7349) /* "Isolate1" */

struct da_isolate {
  uint64_t magic;
  lua_State *L; /* the main thread */
  size_t size;  /* of the slot: the quota */
  /* Of this process, rewritten when an image is put into a slot. */
  da_region *region; /* borrowed */
  void *host;        /* borrowed */
  uint32_t index;    /* of the slot */
  /* Of the execution. */
  int poison; /* da_poison */
  bool quota_hit;
  bool in_step; /* an inline step runs */
  bool sliced;
  bool touched; /* holds a file: cannot be imaged, must be closed */
  bool frozen;  /* globals and libraries are read-only */
  bool step_seeded;
  bool wiping; /* what is freed is zeroed: a bundle is being loaded */
  _Atomic(lua_State *) running;
  da_random random;       /* math.random of the execution */
  da_random step_random;  /* the same while an inline step runs */
  uint64_t ordinals;      /* last `table: #n` given */
  uint64_t step_ordinals; /* the same while an inline step runs */
  /* The allocator. */
  uint64_t grants;         /* blocks given, so that two refusals in a row can be told from two apart */
  uint64_t refused_grants; /* UINT64_MAX: never refused */
  size_t refused_size;
  size_t used; /* malloc mode only: bytes */
  da_slot_alloc alloc;
};

#endif
