/* image_dump.c - images as files, before they are packed: for a spec that looks for addresses which do not belong.
 *
 * With DAHOST_IMAGE_DUMP=DIR, DIR/<n>.img holds the address of the slot, a u64, and its bytes; DIR/<n>.maps what lies
 * where in this process. Threads: any.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "region.h"

static const char *directory;

static void copy_file(const char *from, const char *to)
{
  char bytes[4096];
  FILE *in = fopen(from, "re"), *out = in != NULL ? fopen(to, "we") : NULL;
  for (size_t len = 1; out != NULL && len > 0;) len = fwrite(bytes, 1, fread(bytes, 1, sizeof bytes, in), out);
  if (out != NULL) (void)fclose(out);
  if (in != NULL) (void)fclose(in);
}

static void look_for_directory(void)
{
  directory = getenv("DAHOST_IMAGE_DUMP");
}

void da_image_dump(const void *slot, const void *bytes, size_t size)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  static atomic_uint count;
  char name[4096];
  (void)pthread_once(&once, look_for_directory);
  if (directory == NULL) return;
  unsigned n = atomic_fetch_add(&count, 1) + 1;
  (void)snprintf(name, sizeof name, "%s/%u.maps", directory, n);
  copy_file("/proc/self/maps", name);
  (void)snprintf(name, sizeof name, "%s/%u.img", directory, n);
  FILE *file = fopen(name, "we");
  if (file == NULL) return;
  (void)fwrite(&slot, sizeof slot, 1, file);
  (void)fwrite(bytes, size, 1, file);
  (void)fclose(file);
}
