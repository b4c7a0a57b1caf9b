/* hash.h - digests: XXH3 of libxxhash (https://github.com/Cyan4973/xxHash).
 *
 * Fast, stable across machines, not cryptographic: where two inputs must not be confused (bundles), the store
 * compares the bytes as well.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BASE_HASH_H
#define DA_BASE_HASH_H

#include "bytes.h"

typedef struct da_digest {
  uint8_t bytes[16];
} da_digest;

da_digest da_hash128(da_slice s);
/* Another function for each seed: where the seed is secret, nobody can search for two inputs that meet. */
da_digest da_hash128_seeded(da_slice s, uint64_t seed);
uint64_t da_hash64(da_slice s);
static inline bool da_digest_eq(const da_digest *a, const da_digest *b)
{
  return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}
/* 32 hex digits and a NUL. */
void da_digest_hex(const da_digest *digest, char out[33]);

#endif
