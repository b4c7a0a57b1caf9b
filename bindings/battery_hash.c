/* battery_hash.c - da.hash: digests of bytes, and base64.
 *
 * SHA-2, SHA-1, MD5 and HMAC are OpenSSL's, loaded when the first of them is asked for, as host/net/openssl.h has it;
 * XXH3 and base64 are base's.
 *
 * Threads:  any (PURE).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <openssl/evp.h>
#include <openssl/opensslv.h>
#include <pthread.h>

#include "../host/base/hash.h"
#include "../host/base/text.h"
#include "battery.h"

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

static struct {
  __typeof__(EVP_Q_digest) *digest;
  __typeof__(EVP_Q_mac) *mac;
} crypto;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Never closed: OpenSSL ends itself when the process does. */
static void load(void)
{
  void *handle = dlopen("libcrypto.so." TEXT(OPENSSL_SHLIB_VERSION), RTLD_NOW | RTLD_LOCAL);
  void *digest = handle != NULL ? dlsym(handle, "EVP_Q_digest") : NULL;
  void *mac = handle != NULL ? dlsym(handle, "EVP_Q_mac") : NULL;
  if (mac == NULL) return;
  /* As dlsym(3) has it: a pointer to a function lies there as one to an object does. */
  memcpy(&crypto.digest, &digest, sizeof digest);
  memcpy(&crypto.mac, &mac, sizeof mac);
}

static bool has_crypto(dahost_call *call)
{
  (void)pthread_once(&once, load);
  if (crypto.digest != NULL && crypto.mac != NULL) return true;
  dahost_fail(call, "no_openssl", "this digest needs OpenSSL 3 (Debian's package libssl3) on the machine");
  return false;
}

static void return_hex(dahost_call *call, const unsigned char *bytes, size_t len)
{
  char text[2 * EVP_MAX_MD_SIZE];
  for (size_t i = 0; i < len; i++) {
    text[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
    text[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
  }
  dahost_return_string(call, text, 2 * len);
}

static void digest(dahost_call *call, const char *name)
{
  da_slice bytes;
  unsigned char out[EVP_MAX_MD_SIZE];
  size_t len = 0;
  if (!dahost_arg_string(call, 1, &bytes.ptr, &bytes.len) || !has_crypto(call)) return;
  if (crypto.digest(NULL, name, NULL, bytes.ptr, bytes.len, out, &len) == 1)
    return_hex(call, out, len);
  else
    dahost_fail(call, "no_digest", "OpenSSL of this machine has no %s", name);
}

static void sha256(dahost_call *call, void *user)
{
  (void)user;
  digest(call, "SHA256");
}

static void sha1(dahost_call *call, void *user)
{
  (void)user;
  digest(call, "SHA1");
}

static void md5(dahost_call *call, void *user)
{
  (void)user;
  digest(call, "MD5");
}

static void hmac_sha256(dahost_call *call, void *user)
{
  da_slice key, bytes;
  unsigned char out[EVP_MAX_MD_SIZE];
  size_t len = 0;
  (void)user;
  if (!dahost_arg_string(call, 1, &key.ptr, &key.len) || !dahost_arg_string(call, 2, &bytes.ptr, &bytes.len) ||
      !has_crypto(call))
    return;
  if (crypto.mac(NULL, "HMAC", NULL, "SHA256", NULL, key.ptr, key.len, (const unsigned char *)bytes.ptr, bytes.len, out,
                 sizeof out, &len) != NULL)
    return_hex(call, out, len);
  else
    dahost_fail(call, "no_digest", "OpenSSL of this machine has no HMAC with SHA256");
}

static void xxh128(dahost_call *call, void *user)
{
  da_slice bytes;
  char hex[33];
  (void)user;
  if (!dahost_arg_string(call, 1, &bytes.ptr, &bytes.len)) return;
  da_digest result = da_hash128(bytes);
  da_digest_hex(&result, hex);
  dahost_return_string(call, hex, 32);
}

static void base64_encode(dahost_call *call, void *user)
{
  da_slice bytes;
  da_buf text = {0};
  (void)user;
  if (!dahost_arg_string(call, 1, &bytes.ptr, &bytes.len)) return;
  da_text_base64(&text, bytes);
  dahost_return_string(call, text.ptr, text.len);
  da_buf_free(&text);
}

static void base64_decode(dahost_call *call, void *user)
{
  da_slice text;
  (void)user;
  if (!dahost_arg_string(call, 1, &text.ptr, &text.len)) return;
  ptrdiff_t len = da_text_base64_len(text);
  da_buf bytes = {0};
  if (len > 0) da_buf_reserve(&bytes, (size_t)len);
  if (len < 0 || (len > 0 && !da_text_base64_read(text, bytes.ptr)))
    (void)battery_refuse(call, "argument 1 of hash.base64_decode must be padded base64");
  else
    dahost_return_string(call, bytes.ptr, (size_t)len);
  da_buf_free(&bytes);
}

static int open_hash(dahost_library *library, void **user, char *why, size_t why_size)
{
  static const battery_native natives[] = {{"base64_decode", DAHOST_PURE, base64_decode},
                                           {"base64_encode", DAHOST_PURE, base64_encode},
                                           {"hmac_sha256", DAHOST_PURE, hmac_sha256},
                                           {"md5", DAHOST_PURE, md5},
                                           {"sha1", DAHOST_PURE, sha1},
                                           {"sha256", DAHOST_PURE, sha256},
                                           {"xxh128", DAHOST_PURE, xxh128},
                                           {NULL, DAHOST_PURE, NULL}};
  (void)user;
  return battery_add(library, natives, why, why_size);
}

const dahost_library_info battery_hash = {DAHOST_ABI, sizeof(dahost_library_info), "hash", open_hash, NULL};
