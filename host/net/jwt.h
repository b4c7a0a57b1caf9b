/* jwt.h - a token (JWT in its compact form, RFC 7519 and 7515) taken apart. Pure.
 *
 * Here:     three parts of strict base64url, a header and claims that are strict JSON objects without a member told
 *           twice, what of them is looked at. Reading says nothing of the signature: who asks checks it in between.
 * May not:  know a key, the time, or what is demanded of the claims (auth.c).
 * Memory:   what is read lies in the given arena, or points into the token.
 * Errors:   NULL, or a static sentence that says why, for a log.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_NET_JWT_H
#define DA_NET_JWT_H

#include "../base/arena.h"

typedef struct da_jwt {
  da_slice alg;
  da_slice signed_part; /* header and payload as sent, with the dot between them */
  da_slice payload;     /* decoded, not looked at yet */
  da_slice signature;   /* decoded */
} da_jwt;

const char *da_jwt_read(da_slice token, da_arena *arena, da_jwt *out);

typedef struct da_jwt_claims {
  int64_t exp_ms; /* cut off at +-DA_TIME_MAX, as is nbf_ms */
  bool has_nbf;
  int64_t nbf_ms;
  bool has_issuer;
  da_slice issuer;
  const da_slice *audiences; /* of a single string: that one */
  size_t audience_count;
  bool admin; /* claim `role` is admin, in any case */
  bool has_prefix;
  da_slice prefix;
} da_jwt_claims;

const char *da_jwt_read_claims(da_slice payload, da_arena *arena, da_jwt_claims *out);

#endif
