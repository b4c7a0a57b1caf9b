/* zone_file.c - the system's zone files, by name.
 * SPDX-License-Identifier: Apache-2.0 */
#include "zone_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "calendar.h"
#include "zone.h"

enum { NAME_MAX_LEN = 100, FILE_MAX = 256 << 10 };

static bool name_is_sound(da_slice name)
{
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/";
  if (name.len == 0 || name.len > NAME_MAX_LEN || name.ptr[0] == '/' || name.ptr[name.len - 1] == '/') return false;
  for (size_t i = 0; i < name.len; i++)
    if (name.ptr[i] == '\0' || strchr(letters, name.ptr[i]) == NULL) return false;
  return true;
}

static const char *directory(void)
{
  const char *dir = getenv("TZDIR");
  return dir != NULL && dir[0] != '\0' ? dir : "/usr/share/zoneinfo";
}

static da_status read_file(const char *path, da_buf *out, da_err *err)
{
  FILE *file = fopen(path, "rbe");
  if (file == NULL) return da_fail(err, DA_EIO, "%s: %s", path, strerror(errno));
  size_t got;
  do {
    da_buf_reserve(out, 4096);
    got = fread(out->ptr + out->len, 1, 4096, file);
    out->len += got;
  } while (got > 0 && out->len <= FILE_MAX);
  bool failed = ferror(file) != 0 || out->len > FILE_MAX;
  (void)fclose(file);
  return failed ? da_fail(err, DA_EIO, "%s cannot be read as a zone file", path) : DA_OK;
}

static da_status not_there(da_slice name, const char *dir, da_err *err)
{
  struct stat info;
  if (stat(dir, &info) != 0)
    return da_fail(err, DA_ENOTFOUND,
                   "the zone %.*s cannot be read: there is no %s; install the package tzdata, or name the directory of "
                   "zone files in TZDIR",
                   DA_FMT(name), dir);
  return da_fail(err, DA_ENOTFOUND, "there is no zone '%.*s' in %s; zones are named like Europe/Vienna, or UTC",
                 DA_FMT(name), dir);
}

da_status da_zone_load(da_slice name, da_buf *out, da_err *err)
{
  char path[4096];
  struct stat info;
  da_buf file = {0};
  da_zone zone;
  if (da_slice_eq(name, DA_LIT("UTC"))) return DA_OK;
  if (!name_is_sound(name))
    return da_fail(err, DA_EINVAL, "'%.*s' is not the name of a zone; they are named like Europe/Vienna, or UTC",
                   (int)(name.len < 40 ? name.len : 40), name.ptr);
  int len = snprintf(path, sizeof path, "%s/%.*s", directory(), DA_FMT(name));
  if (len < 0 || (size_t)len >= sizeof path) return da_fail(err, DA_EINVAL, "TZDIR is too long");
  if (stat(path, &info) != 0 || !S_ISREG(info.st_mode)) return not_there(name, directory(), err);
  da_status status = read_file(path, &file, err);
  if (status == DA_OK) {
    da_err why;
    status = da_zone_read(da_buf_slice(&file), &zone, &why);
    if (status != DA_OK) (void)da_fail(err, status, "%s: %s", path, why.text);
  }
  if (status == DA_OK) da_zone_trim(&zone, da_days_of(2020, 1, 1) * 86400, out);
  da_buf_free(&file);
  return status;
}
