/* hash.c - digests.
 * SPDX-License-Identifier: Apache-2.0 */
#include "hash.h"

#include <xxhash.h>

da_digest da_hash128(da_slice s)
{
  return da_hash128_seeded(s, 0);
}

da_digest da_hash128_seeded(da_slice s, uint64_t seed)
{
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_withSeed(s.ptr, s.len, seed));
  da_digest digest;
  memcpy(digest.bytes, canonical.digest, sizeof digest.bytes);
  return digest;
}

uint64_t da_hash64(da_slice s)
{
  return XXH3_64bits(s.ptr, s.len);
}

void da_digest_hex(const da_digest *digest, char out[33])
{
  static const char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < sizeof digest->bytes; i++) {
    out[2 * i] = digits[digest->bytes[i] >> 4];
    out[2 * i + 1] = digits[digest->bytes[i] & 15];
  }
  out[32] = '\0';
}
