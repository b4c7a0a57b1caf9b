/* cors.c - which pages of other origins may read the answers.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cors.h"

#include <stdlib.h>

#define METHODS "GET, POST, PUT, PATCH, DELETE, OPTIONS"
#define HEADERS "origin, content-length, content-type, authorization"
#define MAX_AGE "600" /* what browsers would keep at least */

void da_cors_create(da_cors *cors, const char *const *origins)
{
  size_t count = 0;
  *cors = (da_cors){0};
  if (origins == NULL || origins[0] == NULL) return;
  while (origins[count] != NULL) count++;
  cors->origins = da_xcalloc(count + 1, sizeof *cors->origins);
  for (size_t i = 0; i < count; i++) {
    cors->origins[i] = da_xstrndup(da_slice_of(origins[i]));
    cors->any = cors->any || strcmp(origins[i], "*") == 0;
  }
}

void da_cors_destroy(da_cors *cors)
{
  for (char **at = cors->origins; at != NULL && *at != NULL; at++) free(*at);
  free(cors->origins);
  *cors = (da_cors){0};
}

static void add(da_http_field *out, size_t *count, da_slice name, da_slice value)
{
  out[(*count)++] = (da_http_field){.name = name, .value = value};
}

/* The origins are few, and compared whole: a browser sends its own in the one form there is. */
size_t da_cors_fields(const da_cors *cors, const da_http_request *request, da_http_field out[DA_CORS_FIELDS_MAX])
{
  size_t count = 0;
  if (cors->origins == NULL) return 0;
  if (cors->any) {
    add(out, &count, DA_LIT("access-control-allow-origin"), DA_LIT("*"));
    return count;
  }
  const da_slice *origin = da_http_field_get(request, "origin");
  for (char **at = cors->origins; origin != NULL && *at != NULL; at++) {
    if (!da_slice_eq(da_slice_of(*at), *origin)) continue;
    add(out, &count, DA_LIT("access-control-allow-origin"), da_slice_of(*at));
    break;
  }
  add(out, &count, DA_LIT("vary"), DA_LIT("origin")); /* of a refusal too, or a cache would give it to all */
  return count;
}

bool da_cors_is_preflight(const da_cors *cors, const da_http_request *request)
{
  return cors->origins != NULL && da_slice_eq(request->method, DA_LIT("OPTIONS")) &&
         da_http_field_get(request, "access-control-request-method") != NULL;
}

/* `*` for the headers does not cover `authorization`, so what is asked for is named. */
size_t da_cors_preflight_fields(const da_cors *cors, const da_http_request *request,
                                da_http_field out[DA_CORS_FIELDS_MAX])
{
  size_t count = da_cors_fields(cors, request, out);
  const da_slice *method = da_http_field_get(request, "access-control-request-method");
  const da_slice *headers = da_http_field_get(request, "access-control-request-headers");
  bool allowed = count > 0 && da_slice_eq(out[0].name, DA_LIT("access-control-allow-origin"));
  if (!allowed) return count;
  add(out, &count, DA_LIT("access-control-allow-methods"), cors->any && method != NULL ? *method : DA_LIT(METHODS));
  add(out, &count, DA_LIT("access-control-allow-headers"), cors->any && headers != NULL ? *headers : DA_LIT(HEADERS));
  add(out, &count, DA_LIT("access-control-max-age"), DA_LIT(MAX_AGE));
  return count;
}
