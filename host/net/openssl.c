/* openssl.c - loads libssl and libcrypto, and looks up what the table names.
 * SPDX-License-Identifier: Apache-2.0 */
#include "openssl.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
/* The headers tell the number: libssl.so.3 */
#define LIBRARY(name) name ".so." TEXT(OPENSSL_SHLIB_VERSION)

static da_openssl table;
static bool loaded;

typedef struct symbol {
  const char *name;
  size_t at; /* in the table */
} symbol;

#define X(name) {#name, offsetof(da_openssl, name)},
static const symbol crypto_symbols[] = {DA_OPENSSL_CRYPTO(X){NULL, 0}};
static const symbol ssl_symbols[] = {DA_OPENSSL_SSL(X){NULL, 0}};
#undef X

static da_status load(const char *library, const symbol *symbols, da_err *err)
{
  /* Never closed: OpenSSL ends itself when the process does. */
  void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (handle == NULL)
    return da_fail(err, DA_ENOTFOUND, "TLS and tokens need OpenSSL (Debian's package libssl3): %s", dlerror());
  for (const symbol *s = symbols; s->name != NULL; s++) {
    void *function = dlsym(handle, s->name);
    if (function == NULL)
      return da_fail(err, DA_ENOTFOUND, "%s has no %s(): another version is needed", library, s->name);
    /* As dlsym(3) has it: a pointer to a function lies there as one to an object does. */
    memcpy((char *)&table + s->at, &function, sizeof function);
  }
  return DA_OK;
}

const da_openssl *da_openssl_load(da_err *err)
{
  if (loaded) return &table;
  if (load(LIBRARY("libcrypto"), crypto_symbols, err) != DA_OK) return NULL;
  if (load(LIBRARY("libssl"), ssl_symbols, err) != DA_OK) return NULL;
  loaded = true;
  return &table;
}

const char *da_openssl_reason(const da_openssl *o)
{
  unsigned long code = o->ERR_peek_last_error();
  const char *reason = code != 0 ? o->ERR_reason_error_string(code) : NULL;
  o->ERR_clear_error();
  return reason != NULL ? reason : "no reason given";
}
