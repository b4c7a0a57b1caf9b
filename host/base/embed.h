/* embed.h - a file of the tree inside the program; tables are made by host/cmake/embed.cmake.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BASE_EMBED_H
#define DA_BASE_EMBED_H

typedef struct da_embedded {
  const char *name; /* path below the embedded folder; NULL ends a table */
  const char *begin;
  const char *end;
} da_embedded;

#endif
