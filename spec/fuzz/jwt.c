/* jwt.c - fuzzing tokens: any bytes as a token, and any payload behind a header that is good.
 *
 * Signatures are not checked, else nothing would pass; what passes must pass again, from memory.
 * SPDX-License-Identifier: Apache-2.0 */
#include "../../host/net/jwt.h"
#include "../../host/base/limits.h"
#include "../../host/net/auth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void add_base64url(da_buf *out, const uint8_t *bytes, size_t len)
{
  for (size_t i = 0; i < len; i += 3) {
    uint32_t bits = (uint32_t)bytes[i] << 16;
    if (i + 1 < len) bits |= (uint32_t)bytes[i + 1] << 8;
    if (i + 2 < len) bits |= bytes[i + 2];
    size_t digits = len - i > 2 ? 4 : len - i + 1;
    for (size_t k = 0; k < digits; k++) da_buf_add_byte(out, (uint8_t)alphabet[bits >> (18 - 6 * k) & 63]);
  }
}

static void check(da_auth *auth, da_slice token)
{
  da_claims claims;
  da_claims again;
  const char *why = "";
  if (!da_auth_check(auth, token, 1764140000000, &claims, &why)) {
    DA_ASSERT(why != NULL);
    return;
  }
  da_buf prefix = {0};
  da_buf_add_slice(&prefix, claims.prefix);
  bool admin = claims.admin;
  DA_ASSERT(da_auth_check(auth, token, 1764140000000, &again, NULL));
  DA_ASSERT_OP(again.admin, ==, admin);
  DA_ASSERT(da_slice_eq(again.prefix, da_buf_slice(&prefix)));
  da_buf_free(&prefix);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static da_auth *auth;
  const da_auth_options options = {.public_key = "none"};
  if (auth == NULL) DA_ASSERT_OP(da_auth_new(&options, &auth, NULL), ==, DA_OK);
  check(auth, da_slice_make((const char *)data, size));
  /* The same bytes as claims, and as a header. */
  da_buf token = {0};
  da_buf_addf(&token, "eyJhbGciOiJub25lIn0."); /* {"alg":"none"} */
  add_base64url(&token, data, size);
  da_buf_addf(&token, ".");
  check(auth, da_buf_slice(&token));
  da_buf_clear(&token);
  add_base64url(&token, data, size);
  da_buf_addf(&token, ".eyJleHAiOjk5OTk5OTk5OTl9."); /* {"exp":9999999999} */
  check(auth, da_buf_slice(&token));
  da_buf_free(&token);
  return 0;
}
