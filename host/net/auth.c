/* auth.c - what is demanded of a token, and those that were checked already.
 *
 * A token that was taken is remembered, byte for byte, with its claims: an Ed25519 signature costs 100 us, and a worker
 * sends the same token with every request. Refused ones are not, so nobody without a key can fill the memory of it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "auth.h"

#include <stdlib.h>

#include "../base/limits.h"
#include "../base/table.h"
#include "auth_key.h"
#include "jwt.h"

enum { LEEWAY_MS = 60000 }; /* clocks of two machines */

typedef struct known {
  char *token; /* owned, as is prefix; NULL: free */
  char *prefix;
  size_t token_len;
  int64_t exp_ms;
  int64_t nbf_ms; /* -DA_TIME_MAX: none */
  da_claims claims;
} known;

struct da_auth {
  bool unsigned_too; /* public key "none" */
  char *key_path;
  bool secret; /* what lies there */
  char *issuer;
  char *audience;
  da_auth_key *key;  /* NULL: signatures are not checked */
  da_table by_token; /* to `known` */
  known *ring;       /* DA_TOKENS_MAX; the oldest gives way */
  size_t next;
  da_arena arena; /* of the check at hand */
};

/* ---- life ---------------------------------------------------------------------------------------------- */

static char *copy(const char *text)
{
  return text != NULL ? da_xstrndup(da_slice_of(text)) : NULL;
}

static da_status read_key(const da_auth *auth, da_auth_key **out, da_err *err)
{
  *out = NULL;
  if (auth->unsigned_too) return DA_OK;
  return auth->secret ? da_auth_key_read_secret(auth->key_path, out, err)
                      : da_auth_key_read_public(auth->key_path, out, err);
}

da_status da_auth_new(const da_auth_options *options, da_auth **out, da_err *err)
{
  *out = NULL;
  if (options->public_key != NULL && options->secret_file != NULL)
    return da_fail(err, DA_EINVAL, "tokens are checked against a public key or a secret, not both: %s and %s",
                   options->public_key, options->secret_file);
  if (options->public_key == NULL && options->secret_file == NULL)
    return da_fail(err, DA_EINVAL,
                   "tokens cannot be checked without a key: name a public key (auth.publickey) or a file "
                   "with a secret (auth.secret_file)");
  da_auth *auth = da_xcalloc(1, sizeof *auth);
  auth->secret = options->secret_file != NULL;
  auth->unsigned_too = !auth->secret && strcmp(options->public_key, "none") == 0;
  auth->key_path = copy(auth->secret ? options->secret_file : options->public_key);
  auth->issuer = copy(options->issuer);
  auth->audience = copy(options->audience);
  auth->ring = da_xcalloc(DA_TOKENS_MAX, sizeof *auth->ring);
  da_status status = read_key(auth, &auth->key, err);
  if (status != DA_OK) {
    da_auth_delete(auth);
    return status;
  }
  *out = auth;
  return DA_OK;
}

static void forget(da_auth *auth, known *one)
{
  if (one->token == NULL) return;
  (void)da_table_remove(&auth->by_token, da_slice_make(one->token, one->token_len));
  free(one->token);
  free(one->prefix);
  *one = (known){0};
}

static void forget_all(da_auth *auth)
{
  for (size_t i = 0; i < DA_TOKENS_MAX; i++) forget(auth, &auth->ring[i]);
}

void da_auth_delete(da_auth *auth)
{
  if (auth == NULL) return;
  forget_all(auth);
  da_table_free(&auth->by_token);
  da_arena_free(&auth->arena);
  da_auth_key_delete(auth->key);
  free(auth->ring);
  free(auth->key_path);
  free(auth->issuer);
  free(auth->audience);
  free(auth);
}

da_status da_auth_reload(da_auth *auth, da_err *err)
{
  da_auth_key *key;
  da_status status = read_key(auth, &key, err);
  if (status != DA_OK) return status;
  da_auth_key_delete(auth->key);
  auth->key = key;
  forget_all(auth);
  return DA_OK;
}

static void describe_claim(da_buf *out, const char *name, const char *value)
{
  if (value != NULL)
    da_buf_addf(out, ", %s %s", name, value);
  else
    da_buf_addf(out, ", any %s", name);
}

void da_auth_describe(const da_auth *auth, da_buf *out)
{
  if (auth->key == NULL) {
    da_buf_addf(out, "SIGNATURES OF TOKENS ARE NOT CHECKED (public key `none`), anybody can make one that is taken");
  } else {
    da_buf_addf(out, "tokens signed for ");
    da_auth_key_describe(auth->key, out);
    da_buf_addf(out, " of %s", auth->key_path);
  }
  describe_claim(out, "issuer", auth->issuer);
  describe_claim(out, "audience", auth->audience);
}

/* ---- checking ------------------------------------------------------------------------------------------ */

static const char *check_time(int64_t exp_ms, int64_t nbf_ms, int64_t now_ms)
{
  if (now_ms - LEEWAY_MS > exp_ms) return "it has expired";
  return now_ms + LEEWAY_MS < nbf_ms ? "it is not valid yet (nbf)" : NULL;
}

static const char *check_claims(const da_auth *auth, const da_jwt_claims *claims, int64_t now_ms)
{
  const char *why = check_time(claims->exp_ms, claims->has_nbf ? claims->nbf_ms : -DA_TIME_MAX, now_ms);
  if (why != NULL) return why;
  if (auth->issuer != NULL && !(claims->has_issuer && da_slice_eq(claims->issuer, da_slice_of(auth->issuer))))
    return "it is of another issuer (iss), or of none";
  if (auth->audience == NULL) return NULL;
  for (size_t i = 0; i < claims->audience_count; i++)
    if (da_slice_eq(claims->audiences[i], da_slice_of(auth->audience))) return NULL;
  return "it is for another audience (aud), or for none";
}

static const known *remember(da_auth *auth, da_slice token, const da_jwt_claims *claims)
{
  known *one = &auth->ring[auth->next];
  auth->next = (auth->next + 1) % DA_TOKENS_MAX;
  forget(auth, one);
  one->token = da_xstrndup(token);
  one->token_len = token.len;
  one->exp_ms = claims->exp_ms;
  one->nbf_ms = claims->has_nbf ? claims->nbf_ms : -DA_TIME_MAX;
  one->claims = (da_claims){.admin = claims->admin, .has_prefix = claims->has_prefix};
  if (claims->has_prefix) {
    one->prefix = da_xstrndup(claims->prefix);
    one->claims.prefix = da_slice_make(one->prefix, claims->prefix.len);
  }
  (void)da_table_put(&auth->by_token, da_slice_make(one->token, one->token_len), one);
  return one;
}

/* The signature comes before anything that the payload says: what nobody signed is not read. */
static const char *check_new(da_auth *auth, da_slice token, int64_t now_ms, const known **out)
{
  da_jwt jwt;
  da_jwt_claims claims;
  da_arena_reset(&auth->arena);
  const char *why = da_jwt_read(token, &auth->arena, &jwt);
  if (why == NULL && auth->key != NULL) why = da_auth_key_check(auth->key, jwt.alg, jwt.signed_part, jwt.signature);
  if (why == NULL) why = da_jwt_read_claims(jwt.payload, &auth->arena, &claims);
  if (why == NULL) why = check_claims(auth, &claims, now_ms);
  if (why == NULL) *out = remember(auth, token, &claims);
  return why;
}

bool da_auth_check(da_auth *auth, da_slice token, int64_t now_ms, da_claims *claims, const char **why)
{
  const known *one = da_table_get(&auth->by_token, token);
  const char *words = one != NULL ? check_time(one->exp_ms, one->nbf_ms, now_ms) : check_new(auth, token, now_ms, &one);
  if (why != NULL) *why = words;
  if (words != NULL) return false;
  *claims = one->claims;
  return true;
}

bool da_auth_allows(const da_claims *claims, const da_slice *ids, size_t id_count, bool searches)
{
  if (claims->admin) return true;
  if (!claims->has_prefix) return false;
  if (claims->prefix.len == 0) return true;
  if (searches) return false;
  for (size_t i = 0; i < id_count; i++)
    if (!da_slice_starts(ids[i], claims->prefix)) return false;
  return true;
}
