/* cors.h - which pages of other origins may read the answers (the Fetch standard, "HTTP-CORS protocol"). Pure.
 *
 * Threads:  any.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_NET_CORS_H
#define DA_NET_CORS_H

#include "http_server.h"

typedef struct da_cors {
  char **origins; /* owned, NULL-terminated; NULL: no page may */
  bool any;       /* "*" is among them */
} da_cors;

enum { DA_CORS_FIELDS_MAX = 5 };

void da_cors_create(da_cors *cors, const char *const *origins); /* copies; NULL: none */
void da_cors_destroy(da_cors *cors);
/* Fills `out` with the fields for an answer to this request; returns how many. Their text is static, the cors's or the
 * request's. */
size_t da_cors_fields(const da_cors *cors, const da_http_request *request, da_http_field out[DA_CORS_FIELDS_MAX]);
/* Does a browser ask whether it may ask? Then it is answered 204 with da_cors_preflight_fields(). */
bool da_cors_is_preflight(const da_cors *cors, const da_http_request *request);
size_t da_cors_preflight_fields(const da_cors *cors, const da_http_request *request,
                                da_http_field out[DA_CORS_FIELDS_MAX]);

#endif
