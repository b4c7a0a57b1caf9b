/* hmac.c - HMAC-SHA256, of OpenSSL's libcrypto.
 * SPDX-License-Identifier: Apache-2.0 */
#include "hmac.h"

#include <dlfcn.h>
#include <openssl/evp.h>
#include <openssl/opensslv.h>
#include <pthread.h>

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

static __typeof__(EVP_Q_mac) *evp_mac;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Never closed: OpenSSL ends itself when the process does. */
static void load(void)
{
  void *handle = dlopen("libcrypto.so." TEXT(OPENSSL_SHLIB_VERSION), RTLD_NOW | RTLD_LOCAL);
  void *function = handle != NULL ? dlsym(handle, "EVP_Q_mac") : NULL;
  /* As dlsym(3) has it: a pointer to a function lies there as one to an object does. */
  memcpy(&evp_mac, &function, sizeof function);
}

bool da_hmac(const da_mac *key, da_slice text, da_mac *out)
{
  size_t len = 0;
  (void)pthread_once(&once, load);
  if (evp_mac == NULL) return false;
  return evp_mac(NULL, "HMAC", NULL, "SHA256", NULL, key->bytes, sizeof key->bytes, (const unsigned char *)text.ptr,
                 text.len, out->bytes, sizeof out->bytes, &len) != NULL &&
         len == sizeof out->bytes;
}

bool da_mac_eq(const da_mac *a, const da_mac *b)
{
  unsigned differ = 0;
  for (size_t i = 0; i < sizeof a->bytes; i++) differ |= (unsigned)(a->bytes[i] ^ b->bytes[i]);
  return differ == 0;
}
