/* hmac.h - HMAC-SHA256, of OpenSSL's libcrypto.
 *
 * The library is loaded when it is first asked for, since linking it costs every start of the program 2 ms.
 * Threads:  any.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BASE_HMAC_H
#define DA_BASE_HMAC_H

#include "bytes.h"

typedef struct da_mac {
  uint8_t bytes[32];
} da_mac;

/* False: there is no OpenSSL 3 on the machine. */
bool DA_MUST_USE da_hmac(const da_mac *key, da_slice text, da_mac *out);
/* In a time that does not tell where they differ. */
bool da_mac_eq(const da_mac *a, const da_mac *b);

#endif
