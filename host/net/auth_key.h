/* auth_key.h - the one key that tokens are checked against, and which algorithms it is good for.
 *
 * Here:     reading a public key (PEM: RSA, EC on P-256 and P-384, Ed25519) or a secret, checking one signature.
 * Rule:     the key says which algorithms there are; a token only says which of them it took. So no token can have a
 *           public key taken for a secret, and none can do without.
 * Uses:     libcrypto of OpenSSL; the only file of this room beside TLS that sees its headers is auth_key.c.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_NET_AUTH_KEY_H
#define DA_NET_AUTH_KEY_H

#include "../base/bytes.h"

typedef struct da_auth_key da_auth_key;

da_status DA_MUST_USE da_auth_key_read_public(const char *path, da_auth_key **out, da_err *err);
/* Without a last line end. */
da_status DA_MUST_USE da_auth_key_read_secret(const char *path, da_auth_key **out, da_err *err);
void da_auth_key_delete(da_auth_key *key);

/* Did the holder of the key sign `text` with `algorithm` ("ES256")? NULL, or a static sentence that says why not. */
const char *da_auth_key_check(const da_auth_key *key, da_slice algorithm, da_slice text, da_slice signature);
/* Appends "Ed25519 (EdDSA)": what it is and what it is good for; never the key. */
void da_auth_key_describe(const da_auth_key *key, da_buf *out);

#endif
