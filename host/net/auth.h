/* auth.h - who may ask: tokens (JWT, RFC 7519) checked against one public key, and what a token's prefix covers.
 *
 * The algorithm follows from the key, never from the token's header alone: RSA RS256/384/512 and PS256/384/512, EC
 * ES256 and ES384, Ed25519 EdDSA, a secret HS256/384/512.
 * Claims:   exp is demanded; exp and nbf are given a minute of leeway; iss and aud must be as configured, if they are.
 *           role "admin" (in any case) may do all, else `prefix` decides: see da_auth_allows().
 * Reads:    the key's file, in da_auth_new() and da_auth_reload() alone.
 * Threads:  one at a time.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_NET_AUTH_H
#define DA_NET_AUTH_H

#include "../base/bytes.h"

typedef struct da_auth da_auth;

typedef struct da_auth_options {
  const char
      *public_key; /* path of a PEM public key; "none": signatures are not checked; NULL with secret NULL: error */
  const char *secret_file; /* path of a file whose bytes (without a last line end) are the secret of HS256 */
  const char *issuer;      /* NULL: any */
  const char *audience;    /* NULL: any */
} da_auth_options;

typedef struct da_claims {
  bool admin;
  bool has_prefix;
  da_slice prefix; /* in the auth's own memory, until the next check */
} da_claims;

/* Copies the options. */
da_status DA_MUST_USE da_auth_new(const da_auth_options *options, da_auth **out, da_err *err);
void da_auth_delete(da_auth *auth);
/* Reads the key's file again; on failure all stays as it was. Tokens of the key before are not taken any more. */
da_status DA_MUST_USE da_auth_reload(da_auth *auth, da_err *err);
/* Appends what is demanded, for people: "tokens signed for Ed25519 (EdDSA) of /etc/key.pem, any issuer, audience
 * dahost". */
void da_auth_describe(const da_auth *auth, da_buf *out);
/* False: 401. *why, if given, says it for the log (never for the peer); static. */
bool da_auth_check(da_auth *auth, da_slice token, int64_t now_ms, da_claims *claims, const char **why);
/* False: 403. ids: what the request names; `searches`: it names none and sees all. Without a prefix (and not admin) a
 * token may do nothing, with an empty one everything, else all ids must begin with it. No id at all passes: what is
 * missing is told by whoever reads the request. */
bool da_auth_allows(const da_claims *claims, const da_slice *ids, size_t id_count, bool searches);

#endif
