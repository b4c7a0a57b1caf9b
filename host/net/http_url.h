/* http_url.h - an absolute http or https URL (RFC 3986) in the parts that a request needs. Pure.
 *
 * Addresses come from other people's promises, so nothing of one can add a line to a request: what may not stand in a
 * request's target is percent-encoded, what may not stand in a host is refused.
 *
 * Threads:  any.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_NET_HTTP_URL_H
#define DA_NET_HTTP_URL_H

#include "../base/bytes.h"

typedef struct da_http_url {
  bool tls;
  bool literal; /* the host is an address (without brackets), not a name */
  da_slice host;
  int port;
  da_slice authority; /* as the field `host` wants it: without the port that the scheme implies */
  da_slice target;    /* path and query */
  char *memory;       /* owned: all of the above lies there */
} da_http_url;

/* On failure err names the URL and what is wrong with it, and *out is {0}. */
da_status DA_MUST_USE da_http_url_read(da_slice text, da_http_url *out, da_err *err);
void da_http_url_free(da_http_url *url);

#endif
