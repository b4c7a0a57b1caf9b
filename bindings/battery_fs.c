/* battery_fs.c - da.fs: files, for workflows as steps and for steps as they are.
 *
 * What is written is there whole or not at all, and has reached the disk before the call is recorded: a temporary file
 * in the same folder, flushed, takes the name of the file, and the folder is flushed. A process that is killed
 * meanwhile may leave the temporary one behind (.dahost-*.tmp). Each call may be made again after a crash: those that a
 * repetition could not tell from the first say in their results what they found.
 *
 * Threads:  step threads (POOL).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../host/base/bytes.h"
#include "battery.h"

enum { PIECE = 64 * 1024 };

static bool arg_path(dahost_call *call, int i, const char **path)
{
  return dahost_arg_string(call, i, path, NULL);
}

/* ---- folders -------------------------------------------------------------------------------------------- */

/* The folder of a path, as text of the caller's. */
static char *folder_of(const char *path)
{
  size_t len = strlen(path);
  while (len > 1 && path[len - 1] == '/') len--;
  while (len > 0 && path[len - 1] != '/') len--;
  while (len > 1 && path[len - 1] == '/') len--;
  return da_xstrndup(len > 0 ? da_slice_make(path, len) : DA_LIT("."));
}

int battery_flush_folder(const char *path)
{
  char *folder = folder_of(path);
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  free(folder);
  if (fd < 0) return errno;
  int error = fsync(fd) == 0 || errno == EINVAL ? 0 : errno; /* EINVAL: a file system that has nothing to flush */
  (void)close(fd);
  return error;
}

static const char *kind_of(mode_t mode)
{
  switch (mode & S_IFMT) {
  case S_IFREG:
    return "file";
  case S_IFDIR:
    return "directory";
  case S_IFLNK:
    return "link";
  case S_IFIFO:
    return "fifo";
  case S_IFSOCK:
    return "socket";
  default:
    return "device";
  }
}

/* ---- reading -------------------------------------------------------------------------------------------- */

/* 0; errno's number; or -1, when there are more than max bytes or nobody waits any more. */
static int read_whole(dahost_call *call, int fd, size_t max, da_buf *out)
{
  for (;;) {
    da_buf_reserve(out, PIECE);
    ssize_t got = read(fd, out->ptr + out->len, PIECE);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    if (got == 0) return 0;
    out->len += (size_t)got;
    if (out->len > max || battery_stopped(call)) return -1;
  }
}

static void read_file(dahost_call *call, void *user)
{
  static const char *const names[] = {"max", NULL};
  const char *path;
  dahost_value options;
  int64_t max = BATTERY_BYTES_MAX;
  (void)user;
  if (!arg_path(call, 1, &path) || !battery_options(call, 2, "fs.read", names, &options) ||
      !battery_option_integer(call, options, "fs.read", "max", BATTERY_BYTES_MAX, &max))
    return;
  da_buf text = {0};
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO that nobody writes to is not waited for */
  int error = fd < 0 ? errno : read_whole(call, fd, (size_t)max, &text);
  if (fd >= 0) (void)close(fd);
  if (error > 0) {
    battery_fail_errno(call, error, "cannot read %s", path);
  } else if (text.len > (size_t)max) {
    dahost_fail(call, "too_large", "%s has more than %lld bytes", path, (long long)max);
    dahost_fail_fatal(call);
  } else {
    dahost_return_string(call, text.ptr, text.len);
  }
  da_buf_free(&text);
}

static dahost_value new_text(dahost_call *call, const char *text)
{
  return dahost_new_string(call, text, strlen(text));
}

static double mtime_of(const struct stat *at)
{
  return (double)at->st_mtim.tv_sec + (double)at->st_mtim.tv_nsec / 1e9;
}

static void stat_path(dahost_call *call, void *user)
{
  const char *path;
  struct stat at;
  char mode[8];
  (void)user;
  if (!arg_path(call, 1, &path)) return;
  if (stat(path, &at) != 0) {
    if (errno == ENOENT || errno == ENOTDIR)
      dahost_return_nil(call);
    else
      battery_fail_errno(call, errno, "cannot look at %s", path);
    return;
  }
  (void)snprintf(mode, sizeof mode, "%04o", (unsigned)at.st_mode & 07777);
  dahost_value table = dahost_new_table(call);
  dahost_set(call, table, "kind", new_text(call, kind_of(at.st_mode)));
  dahost_set(call, table, "mode", new_text(call, mode));
  dahost_set(call, table, "mtime", dahost_new_number(call, mtime_of(&at)));
  dahost_set(call, table, "size", dahost_new_integer(call, (int64_t)at.st_size));
  dahost_return(call, table);
}

typedef struct entry {
  char *name;
  const char *kind;
} entry;

static int by_name(const void *a, const void *b)
{
  return strcmp(((const entry *)a)->name, ((const entry *)b)->name);
}

/* The entries are the caller's, also on failure. */
static int read_folder(DIR *folder, entry **entries, size_t *count)
{
  size_t room = 0;
  for (;;) {
    errno = 0;
    const struct dirent *found = readdir(folder);
    if (found == NULL) return errno;
    if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0) continue;
    struct stat at = {.st_mode = DTTOIF(found->d_type)};
    if (found->d_type == DT_UNKNOWN && fstatat(dirfd(folder), found->d_name, &at, AT_SYMLINK_NOFOLLOW) != 0)
      continue; /* gone already */
    if (*count == room) {
      room = room == 0 ? 64 : 2 * room;
      *entries = da_xrealloc(*entries, room * sizeof **entries);
    }
    (*entries)[(*count)++] = (entry){da_xstrndup(da_slice_of(found->d_name)), kind_of(at.st_mode)};
  }
}

static void return_entries(dahost_call *call, const entry *entries, size_t count)
{
  dahost_value list = dahost_new_list(call);
  int mark = dahost_mark(call);
  for (size_t i = 0; i < count; i++) {
    dahost_value table = dahost_new_table(call);
    dahost_set(call, table, "kind", new_text(call, entries[i].kind));
    dahost_set(call, table, "name", new_text(call, entries[i].name));
    dahost_append(call, list, table);
    dahost_release(call, mark);
  }
  dahost_return(call, list);
}

static void list_folder(dahost_call *call, void *user)
{
  const char *path;
  entry *entries = NULL;
  size_t count = 0;
  (void)user;
  if (!arg_path(call, 1, &path)) return;
  DIR *folder = opendir(path);
  int error = folder == NULL ? errno : read_folder(folder, &entries, &count);
  if (folder != NULL) (void)closedir(folder);
  if (count > 0) qsort(entries, count, sizeof *entries, by_name);
  if (error != 0)
    battery_fail_errno(call, error, "cannot list %s", path);
  else
    return_entries(call, entries, count);
  for (size_t i = 0; i < count; i++) free(entries[i].name);
  free(entries);
}

/* ---- writing -------------------------------------------------------------------------------------------- */

static int write_whole(int fd, da_slice bytes)
{
  while (bytes.len > 0) {
    ssize_t done = write(fd, bytes.ptr, bytes.len);
    if (done < 0 && errno != EINTR) return errno;
    if (done > 0) bytes = da_slice_make(bytes.ptr + done, bytes.len - (size_t)done);
  }
  return fsync(fd) == 0 ? 0 : errno;
}

/* mode below 0: as it is. 0, or errno's number; the file is closed. */
static int fill_and_close(int fd, da_slice bytes, int mode)
{
  int error = mode >= 0 && fchmod(fd, (mode_t)mode) != 0 ? errno : write_whole(fd, bytes);
  if (close(fd) != 0 && error == 0) error = errno;
  return error;
}

static int append_to(const char *path, da_slice bytes, int mode)
{
  int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  int error = fd < 0 ? errno : fill_and_close(fd, bytes, mode);
  return error != 0 ? error : battery_flush_folder(path);
}

int battery_open_temporary(const char *path, char **name)
{
  static atomic_uint last;
  char *folder = folder_of(path);
  size_t size = strlen(folder) + 40;
  *name = da_xcalloc(size, 1);
  int fd;
  do {
    (void)snprintf(*name, size, "%s/.dahost-%d-%u.tmp", folder, (int)getpid(), atomic_fetch_add(&last, 1));
    fd = open(*name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (fd < 0 && errno == EEXIST);
  free(folder);
  return fd;
}

static int replace(const char *path, da_slice bytes, int mode)
{
  struct stat old;
  char *name;
  int fd = battery_open_temporary(path, &name);
  int error = fd < 0 ? errno : 0;
  if (fd >= 0) {
    if (mode < 0 && lstat(path, &old) == 0 && S_ISREG(old.st_mode)) mode = (int)(old.st_mode & 07777);
    error = fill_and_close(fd, bytes, mode);
    if (error == 0 && rename(name, path) != 0) error = errno;
    if (error != 0) (void)unlink(name);
  }
  free(name);
  return error != 0 ? error : battery_flush_folder(path);
}

/* "0644"; *out is as it was when there is none. */
static bool option_mode(dahost_call *call, dahost_value options, const char *what, int *out)
{
  const char *text = NULL;
  if (!battery_option_text(call, options, what, "mode", &text)) return false;
  if (text == NULL) return true;
  size_t len = strlen(text);
  if (len == 0 || len > 5 || strspn(text, "01234567") != len || strtol(text, NULL, 8) > 07777)
    return battery_refuse(call, "option 'mode' of %s must be octal digits, as \"0644\"", what);
  *out = (int)strtol(text, NULL, 8);
  return true;
}

static void write_file(dahost_call *call, void *user)
{
  static const char *const names[] = {"append", "mode", NULL};
  const char *path;
  da_slice bytes;
  dahost_value options;
  int mode = -1;
  bool append = false;
  (void)user;
  if (!arg_path(call, 1, &path) || !dahost_arg_string(call, 2, &bytes.ptr, &bytes.len) ||
      !battery_options(call, 3, "fs.write", names, &options) || !option_mode(call, options, "fs.write", &mode) ||
      !battery_option_flag(call, options, "fs.write", "append", &append))
    return;
  int error = append ? append_to(path, bytes, mode) : replace(path, bytes, mode);
  if (error != 0) battery_fail_errno(call, error, "cannot write %s", path);
}

static void remove_path(dahost_call *call, void *user)
{
  const char *path;
  (void)user;
  if (!arg_path(call, 1, &path)) return;
  int error = remove(path) == 0 ? 0 : errno;
  bool gone = error == ENOENT;
  if (error == 0) error = battery_flush_folder(path);
  if (error != 0 && !gone)
    battery_fail_errno(call, error, "cannot remove %s", path);
  else
    dahost_return_boolean(call, !gone);
}

/* 0 if it was made, EEXIST if it was there, or another number. */
static int make_one(const char *path, mode_t mode)
{
  struct stat at;
  if (mkdir(path, mode) == 0) {
    int error = battery_flush_folder(path);
    return error == EEXIST ? EIO : error;
  }
  int error = errno;
  if (stat(path, &at) == 0) return S_ISDIR(at.st_mode) ? EEXIST : ENOTDIR;
  return error;
}

/* With its parents, each of which is flushed into its own. */
static int make_folder(char *path, mode_t mode)
{
  for (char *at = path + 1; path[0] != '\0' && *at != '\0'; at++) {
    if (*at != '/' || at[1] == '/' || at[1] == '\0') continue;
    *at = '\0';
    int error = make_one(path, 0777);
    *at = '/';
    if (error != 0 && error != EEXIST) return error;
  }
  return make_one(path, mode);
}

static void make_directory(dahost_call *call, void *user)
{
  static const char *const names[] = {"mode", NULL};
  const char *path;
  dahost_value options;
  int mode = 0777;
  (void)user;
  if (!arg_path(call, 1, &path) || !battery_options(call, 2, "fs.mkdir", names, &options) ||
      !option_mode(call, options, "fs.mkdir", &mode))
    return;
  char *copy = da_xstrndup(da_slice_of(path));
  int error = make_folder(copy, (mode_t)mode);
  free(copy);
  if (error != 0 && error != EEXIST)
    battery_fail_errno(call, error, "cannot make the directory %s", path);
  else
    dahost_return_boolean(call, error == 0);
}

static void rename_path(dahost_call *call, void *user)
{
  const char *from, *to;
  (void)user;
  if (!arg_path(call, 1, &from) || !arg_path(call, 2, &to)) return;
  int error = rename(from, to) == 0 ? battery_flush_folder(to) : errno;
  if (error == 0) error = battery_flush_folder(from);
  if (error != 0) battery_fail_errno(call, error, "cannot rename %s to %s", from, to);
}

/* ---- watching ------------------------------------------------------------------------------------------- */

enum {
  OF_FOLDER = IN_CREATE | IN_DELETE | IN_MODIFY | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO,
  OF_ITSELF = OF_FOLDER | IN_DELETE_SELF | IN_MOVE_SELF,
};

typedef struct watch {
  int fd;
  int folder, itself; /* -1: there is none */
  const char *name;   /* within the folder */
} watch;

/* The folder tells of a name that comes, goes or is given to another file; the file, or what a link leads to, of
 * itself. */
static int open_watch(watch *w, const char *path)
{
  *w = (watch){.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), .name = strrchr(path, '/')};
  if (w->fd < 0) return errno;
  w->name = w->name != NULL ? w->name + 1 : path;
  char *folder = folder_of(path);
  w->folder = inotify_add_watch(w->fd, folder, OF_FOLDER | IN_MASK_ADD);
  int error = errno;
  free(folder);
  w->itself = inotify_add_watch(w->fd, path, OF_ITSELF | IN_MASK_ADD);
  return w->folder < 0 && w->itself < 0 ? error : 0;
}

static bool tells_of_it(const watch *w, const struct inotify_event *event)
{
  if (event->wd == w->itself || (event->mask & IN_Q_OVERFLOW) != 0) return true;
  return event->wd == w->folder && event->len > 0 && strcmp(event->name, w->name) == 0;
}

/* Is there news of it among what can be read? */
static bool has_news(const watch *w)
{
  _Alignas(struct inotify_event) char bytes[4096];
  for (ssize_t got; (got = read(w->fd, bytes, sizeof bytes)) > 0;) {
    for (ssize_t at = 0; at < got;) {
      struct inotify_event event;
      memcpy(&event, bytes + at, sizeof event);
      if (tells_of_it(w, (const struct inotify_event *)(const void *)(bytes + at))) return true;
      at += (ssize_t)(sizeof event + event.len);
    }
  }
  return false;
}

/* Is it another than `since` says: what fs.stat gave, or false if there was nothing? */
static bool differs(dahost_call *call, dahost_value since, const char *path)
{
  struct stat at;
  bool there = stat(path, &at) == 0, was_there = dahost_type_of(call, since) == DAHOST_TABLE;
  if (!there || !was_there) return there != was_there;
  return mtime_of(&at) != dahost_to_number(call, dahost_field(call, since, "mtime")) ||
         (int64_t)at.st_size != dahost_to_integer(call, dahost_field(call, since, "size"));
}

static void wait_for_news(dahost_call *call, const watch *w, int64_t timeout_ms)
{
  int64_t until = timeout_ms >= 0 ? battery_tick_ms() + timeout_ms : INT64_MAX;
  struct pollfd ready = {.fd = w->fd, .events = POLLIN};
  for (;;) {
    int64_t left = until - battery_tick_ms();
    (void)poll(&ready, 1, left < 0 ? 0 : left < BATTERY_LOOK_MS ? (int)left : BATTERY_LOOK_MS);
    if (has_news(w)) {
      dahost_return_boolean(call, true);
      return;
    }
    if (battery_stopped(call)) return;
    if (left <= 0) {
      dahost_return_boolean(call, false);
      return;
    }
  }
}

static void watch_path(dahost_call *call, void *user)
{
  const char *path;
  int64_t timeout_ms = -1;
  watch w;
  (void)user;
  if (!arg_path(call, 1, &path) ||
      !battery_duration_ms(call, dahost_arg(call, 2), "argument 2 of fs.watch", &timeout_ms))
    return;
  dahost_value since = dahost_arg(call, 3);
  dahost_type type = dahost_type_of(call, since);
  if (type > DAHOST_NIL && type != DAHOST_TABLE && !(type == DAHOST_BOOLEAN && !dahost_to_boolean(call, since))) {
    (void)battery_refuse(call, "argument 3 of fs.watch must be what fs.stat gave, or false");
    return;
  }
  int error = open_watch(&w, path);
  if (error != 0)
    battery_fail_errno(call, error, "cannot watch %s", path);
  else if (type > DAHOST_NIL && differs(call, since, path))
    dahost_return_boolean(call, true);
  else
    wait_for_news(call, &w, timeout_ms);
  if (w.fd >= 0) (void)close(w.fd);
}

static int open_fs(dahost_library *library, void **user, char *why, size_t why_size)
{
  static const battery_native natives[] = {
      {"list", DAHOST_POOL, list_folder},   {"mkdir", DAHOST_POOL, make_directory}, {"read", DAHOST_POOL, read_file},
      {"remove", DAHOST_POOL, remove_path}, {"rename", DAHOST_POOL, rename_path},   {"stat", DAHOST_POOL, stat_path},
      {"watch", DAHOST_POOL, watch_path},   {"write", DAHOST_POOL, write_file},     {NULL, DAHOST_POOL, NULL}};
  (void)user;
  return battery_add(library, natives, why, why_size);
}

const dahost_library_info battery_fs = {DAHOST_ABI, sizeof(dahost_library_info), "fs", open_fs, NULL};
