/* image_key.c - the key that images are sealed with: a file beside the store, for its owner's eyes alone.
 *
 * Not in the store: whoever can write rows, or brings rows of another store, could otherwise bring code. It is made
 * when it is not there, or was of no use; images of before are then refused, and nothing is lost.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/log.h"
#include "rows.h"

/* Reads it, if others cannot. */
static bool read_key(const char *name, uint8_t key[DA_STORE_IMAGE_KEY])
{
  struct stat st;
  char more;
  int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return false;
  bool own = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 077) == 0;
  bool whole = own && read(fd, key, DA_STORE_IMAGE_KEY) == DA_STORE_IMAGE_KEY && read(fd, &more, 1) == 0;
  (void)close(fd);
  if (!own) da_log(DA_LOG_WARN, "image.key", "file=%s text=\"others can read it, so another one is made\"", name);
  return whole;
}

static bool write_key(const char *name, const uint8_t key[DA_STORE_IMAGE_KEY])
{
  (void)unlink(name);
  int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  bool whole = write(fd, key, DA_STORE_IMAGE_KEY) == DA_STORE_IMAGE_KEY;
  (void)close(fd);
  return whole;
}

bool da_store_image_key(const da_store *store, uint8_t key[DA_STORE_IMAGE_KEY])
{
  char *name = NULL;
  if (store->read_only) return false;
  if (store->path != NULL && asprintf(&name, "%s/image.key", store->path) < 0) return false;
  bool there = name != NULL && read_key(name, key);
  if (!there) {
    there = getrandom(key, DA_STORE_IMAGE_KEY, 0) == DA_STORE_IMAGE_KEY;
    if (there && name != NULL) there = write_key(name, key);
    if (!there) da_log(DA_LOG_WARN, "image.key", "file=%s text=\"%s\"", name != NULL ? name : "", strerror(errno));
  }
  free(name);
  return there;
}
