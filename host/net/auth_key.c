/* auth_key.c - keys and signatures (RFC 7518, section 3; RFC 8037), with OpenSSL's EVP.
 * SPDX-License-Identifier: Apache-2.0 */
#include "auth_key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "../base/limits.h"
#include "openssl.h"

enum { RSA_BITS_MIN = 2048, SECRET_MIN = 32 }; /* RFC 7518, sections 3.3 and 3.2 */

typedef enum key_kind { KEY_RSA, KEY_P256, KEY_P384, KEY_ED25519, KEY_SECRET } key_kind;

struct da_auth_key {
  const da_openssl *o;
  key_kind kind;
  EVP_PKEY *public; /* owned; NULL: a secret */
  da_buf secret;
};

typedef struct algorithm {
  const char *name;
  key_kind kind;
  const char *digest; /* NULL: part of the algorithm */
  bool pss;
  size_t half;       /* bytes of each half of an EC signature */
  size_t secret_min; /* as long as the digest */
} algorithm;

static const algorithm algorithms[] = {
    {.name = "RS256", .kind = KEY_RSA, .digest = "SHA256"},
    {.name = "RS384", .kind = KEY_RSA, .digest = "SHA384"},
    {.name = "RS512", .kind = KEY_RSA, .digest = "SHA512"},
    {.name = "PS256", .kind = KEY_RSA, .digest = "SHA256", .pss = true},
    {.name = "PS384", .kind = KEY_RSA, .digest = "SHA384", .pss = true},
    {.name = "PS512", .kind = KEY_RSA, .digest = "SHA512", .pss = true},
    {.name = "ES256", .kind = KEY_P256, .digest = "SHA256", .half = 32},
    {.name = "ES384", .kind = KEY_P384, .digest = "SHA384", .half = 48},
    {.name = "EdDSA", .kind = KEY_ED25519},
    {.name = "HS256", .kind = KEY_SECRET, .digest = "SHA256", .secret_min = 32},
    {.name = "HS384", .kind = KEY_SECRET, .digest = "SHA384", .secret_min = 48},
    {.name = "HS512", .kind = KEY_SECRET, .digest = "SHA512", .secret_min = 64},
};
enum { ALGORITHM_COUNT = sizeof algorithms / sizeof *algorithms };

/* ---- files --------------------------------------------------------------------------------------------- */

static da_status read_file(const char *path, da_buf *out, da_err *err)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return da_fail(err, DA_ENOTFOUND, "%s cannot be opened: %s", path, strerror(errno));
  ssize_t n = 1;
  while (n > 0 && out->len <= DA_KEY_FILE_MAX) {
    da_buf_reserve(out, 4096);
    n = read(fd, out->ptr + out->len, 4096);
    if (n < 0 && errno == EINTR)
      n = 1;
    else if (n > 0)
      out->len += (size_t)n;
  }
  da_status status = DA_OK;
  if (n < 0)
    status = da_fail(err, DA_EIO, "%s cannot be read: %s", path, strerror(errno));
  else if (out->len > DA_KEY_FILE_MAX)
    status = da_fail(err, DA_ETOOBIG, "%s is longer than a key file can be (%d bytes)", path, DA_KEY_FILE_MAX);
  else if (out->len == 0)
    status = da_fail(err, DA_EINVAL, "%s is empty; it should hold a key", path);
  (void)close(fd);
  return status;
}

static size_t count_text(da_slice text, da_slice wanted)
{
  size_t count = 0;
  for (size_t i = 0; i + wanted.len <= text.len; i++) count += memcmp(text.ptr + i, wanted.ptr, wanted.len) == 0;
  return count;
}

/* ---- public keys --------------------------------------------------------------------------------------- */

/* What is no public key in PEM, but something that people take for one. */
static da_status check_pem(const char *path, da_slice text, da_err *err)
{
  size_t blocks = count_text(text, DA_LIT("-----BEGIN "));
  if (blocks == 0)
    return da_fail(err, DA_EINVAL,
                   "%s holds no public key in PEM (`-----BEGIN PUBLIC KEY-----`); a shared secret goes "
                   "into a file of its own (auth.secret_file)",
                   path);
  if (count_text(text, DA_LIT(" PRIVATE KEY-----")) > 0)
    return da_fail(err, DA_EINVAL,
                   "%s holds a private key, which a server must not have; give it what `openssl pkey "
                   "-in %s -pubout` prints",
                   path, path);
  if (count_text(text, DA_LIT("-----BEGIN CERTIFICATE-----")) > 0)
    return da_fail(err, DA_EINVAL,
                   "%s holds a certificate; give the key of it, as `openssl x509 -in %s -noout -pubkey` "
                   "prints it",
                   path, path);
  if (blocks > 1) return da_fail(err, DA_EINVAL, "%s holds %zu keys; tokens are checked against one", path, blocks);
  return DA_OK;
}

static bool find_kind(const da_openssl *o, EVP_PKEY *public, key_kind *kind)
{
  char group[32] = "";
  switch (o->EVP_PKEY_get_base_id(public)) {
  case EVP_PKEY_RSA:
    *kind = KEY_RSA;
    return true;
  case EVP_PKEY_ED25519:
    *kind = KEY_ED25519;
    return true;
  case EVP_PKEY_EC:
    if (o->EVP_PKEY_get_group_name(public, group, sizeof group, NULL) != 1) return false;
    *kind = strcmp(group, "prime256v1") == 0 ? KEY_P256 : KEY_P384;
    return *kind == KEY_P256 || strcmp(group, "secp384r1") == 0;
  default:
    return false;
  }
}

static da_status parse_public(const char *path, da_slice text, da_auth_key *key, da_err *err)
{
  const da_openssl *o = key->o;
  BIO *bio = o->BIO_new_mem_buf(text.ptr, (int)text.len);
  if (bio == NULL) return da_fail(err, DA_ENOMEM, "out of memory for the key of %s", path);
  key->public = o->PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
  o->BIO_free(bio);
  o->ERR_clear_error();
  if (key->public == NULL)
    return da_fail(err, DA_EINVAL,
                   "%s holds no public key that can be read; `openssl pkey -pubin -in %s -text` says "
                   "what it thinks of it",
                   path, path);
  if (!find_kind(key->o, key->public, &key->kind))
    return da_fail(err, DA_EINVAL,
                   "%s holds a key of a kind that is not taken: RSA, EC on P-256 or P-384, or Ed25519 "
                   "is wanted",
                   path);
  int bits = o->EVP_PKEY_get_bits(key->public);
  if (key->kind == KEY_RSA && bits < RSA_BITS_MIN)
    return da_fail(err, DA_EINVAL, "%s holds an RSA key of %d bits; %d are the least that tokens may be signed with",
                   path, bits, RSA_BITS_MIN);
  return DA_OK;
}

static da_status new_key(da_auth_key **out, da_err *err)
{
  const da_openssl *o = da_openssl_load(err);
  *out = NULL;
  if (o == NULL) return DA_ENOTFOUND;
  *out = da_xcalloc(1, sizeof **out);
  (*out)->o = o;
  return DA_OK;
}

static da_status take(da_auth_key *key, da_status status, da_auth_key **out)
{
  *out = status == DA_OK ? key : NULL;
  if (status != DA_OK) da_auth_key_delete(key);
  return status;
}

da_status da_auth_key_read_public(const char *path, da_auth_key **out, da_err *err)
{
  da_auth_key *key;
  da_buf text = {0};
  da_status status = new_key(&key, err);
  if (status == DA_OK) status = read_file(path, &text, err);
  if (status == DA_OK) status = check_pem(path, da_buf_slice(&text), err);
  if (status == DA_OK) status = parse_public(path, da_buf_slice(&text), key, err);
  da_buf_free(&text);
  return take(key, status, out);
}

da_status da_auth_key_read_secret(const char *path, da_auth_key **out, da_err *err)
{
  da_auth_key *key;
  da_status status = new_key(&key, err);
  if (status != DA_OK) return take(key, status, out);
  da_buf *secret = &key->secret;
  key->kind = KEY_SECRET;
  status = read_file(path, secret, err);
  if (secret->len > 0 && secret->ptr[secret->len - 1] == '\n') secret->len--;
  if (secret->len > 0 && secret->ptr[secret->len - 1] == '\r') secret->len--;
  if (status == DA_OK && count_text(da_buf_slice(secret), DA_LIT("-----BEGIN ")) > 0)
    status = da_fail(err, DA_EINVAL, "%s holds a key in PEM, which is no secret; a public key is auth.publickey", path);
  if (status == DA_OK && secret->len < SECRET_MIN)
    status = da_fail(err, DA_EINVAL,
                     "%s holds a secret of %zu bytes, which can be guessed; %d are the least, as `openssl "
                     "rand -hex 32` makes them",
                     path, secret->len, SECRET_MIN);
  return take(key, status, out);
}

void da_auth_key_delete(da_auth_key *key)
{
  if (key == NULL) return;
  if (key->public != NULL) key->o->EVP_PKEY_free(key->public);
  if (key->secret.ptr != NULL) key->o->OPENSSL_cleanse(key->secret.ptr, key->secret.cap);
  da_buf_free(&key->secret);
  free(key);
}

void da_auth_key_describe(const da_auth_key *key, da_buf *out)
{
  static const char *const names[] = {"RSA", "EC P-256", "EC P-384", "Ed25519", "secret"};
  const char *before = " (";
  da_buf_addf(out, "%s", names[key->kind]);
  for (size_t i = 0; i < ALGORITHM_COUNT; i++) {
    if (algorithms[i].kind != key->kind || algorithms[i].secret_min > key->secret.len) continue;
    da_buf_addf(out, "%s%s", before, algorithms[i].name);
    before = ", ";
  }
  da_buf_add_byte(out, ')');
}

/* ---- signatures ---------------------------------------------------------------------------------------- */

/* Appends half of an EC signature as an INTEGER of DER: no leading zeros, but one before a byte that would be a sign.
 */
static void add_integer(da_buf *der, const unsigned char *bytes, size_t len)
{
  while (len > 1 && bytes[0] == 0) bytes++, len--;
  size_t sign = bytes[0] >> 7;
  da_buf_add_byte(der, 0x02);
  da_buf_add_byte(der, (uint8_t)(len + sign));
  if (sign != 0) da_buf_add_byte(der, 0);
  da_buf_add(der, bytes, len);
}

/* A token has the two numbers side by side; OpenSSL wants a SEQUENCE of both, which is shorter than 128 bytes here. */
static void to_der(da_slice pair, da_buf *der)
{
  size_t half = pair.len / 2;
  const unsigned char *bytes = (const unsigned char *)pair.ptr;
  da_buf_add(der, "\x30", 2); /* its length comes last */
  add_integer(der, bytes, half);
  add_integer(der, bytes + half, half);
  der->ptr[1] = (char)(der->len - 2);
}

static bool verify(const da_auth_key *key, const algorithm *a, da_slice text, da_slice signature)
{
  const da_openssl *o = key->o;
  EVP_PKEY_CTX *options = NULL; /* of the context below */
  EVP_MD_CTX *context = o->EVP_MD_CTX_new();
  bool good =
      context != NULL && o->EVP_DigestVerifyInit_ex(context, &options, a->digest, NULL, NULL, key->public, NULL) == 1;
  /* RFC 7518, section 3.5: the salt is as long as the digest, and MGF1 takes the same one. */
  if (good && a->pss)
    good = o->EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1 &&
           o->EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) == 1;
  good = good && o->EVP_DigestVerify(context, (const unsigned char *)signature.ptr, signature.len,
                                     (const unsigned char *)text.ptr, text.len) == 1;
  o->EVP_MD_CTX_free(context);
  o->ERR_clear_error();
  return good;
}

static bool verify_pair(const da_auth_key *key, const algorithm *a, da_slice text, da_slice signature)
{
  da_buf der = {0};
  if (signature.len != 2 * a->half) return false;
  to_der(signature, &der);
  bool good = verify(key, a, text, da_buf_slice(&der));
  da_buf_free(&der);
  return good;
}

static bool verify_secret(const da_auth_key *key, const algorithm *a, da_slice text, da_slice signature)
{
  const da_openssl *o = key->o;
  unsigned char digest[EVP_MAX_MD_SIZE];
  size_t len = 0;
  bool made = o->EVP_Q_mac(NULL, "HMAC", NULL, a->digest, NULL, key->secret.ptr, key->secret.len,
                           (const unsigned char *)text.ptr, text.len, digest, sizeof digest, &len) != NULL;
  o->ERR_clear_error();
  return made && signature.len == len && o->CRYPTO_memcmp(digest, signature.ptr, len) == 0;
}

const char *da_auth_key_check(const da_auth_key *key, da_slice name, da_slice text, da_slice signature)
{
  const algorithm *a = NULL;
  for (size_t i = 0; i < ALGORITHM_COUNT; i++)
    if (algorithms[i].kind == key->kind && da_slice_eq(name, da_slice_of(algorithms[i].name))) a = &algorithms[i];
  if (a == NULL) return "its algorithm is none of the key's";
  if (a->secret_min > key->secret.len) return "its algorithm wants a secret as long as its digest";
  bool good = key->kind == KEY_SECRET ? verify_secret(key, a, text, signature)
              : a->half > 0           ? verify_pair(key, a, text, signature)
                                      : verify(key, a, text, signature);
  return good ? NULL : "its signature is not one of this key";
}
