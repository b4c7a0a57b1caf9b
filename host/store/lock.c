/* lock.c - one process per data directory: a lock on <dir>/lock, with the holder's process id written in it.
 *
 * Who ends in peace empties the file. So what is found there when the lock is free tells of a death, until somebody has
 * dealt with it. Neither way is flushed: a power loss may hide the death it is.
 *
 * The lock is an "open file description" lock (fcntl(2), F_OFD_SETLK): it ends with the process whatever way that ends,
 * and, unlike the classic record locks, it also keeps out a second opener in the same process and is not lost when
 * some other descriptor of the file is closed. It does not tell its holder, so the holder writes its id into the file.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rows.h"

static int open_lock_file(const char *path, int flags)
{
  char *name = NULL;
  if (asprintf(&name, "%s/lock", path) < 0) return -1;
  int fd = open(name, flags | O_CLOEXEC, 0600);
  free(name);
  return fd;
}

static struct flock whole_file(void)
{
  return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

static int64_t written_pid(int fd)
{
  char text[32] = {0};
  if (pread(fd, text, sizeof text - 1, 0) <= 0) return 0;
  long long pid = strtoll(text, NULL, 10);
  return pid > 0 ? pid : 0;
}

da_status da_lock_take(const char *path, int *fd, bool *died, da_err *err)
{
  *died = false;
  *fd = open_lock_file(path, O_RDWR | O_CREAT);
  if (*fd < 0) {
    bool denied = errno == EACCES || errno == EROFS;
    return da_fail(err, denied ? DA_EACCES : DA_EIO, "cannot open the lock file %s/lock: %s%s", path, strerror(errno),
                   denied ? "; the store is to be writable by this user, or name another with --data" : "");
  }
  struct flock lock = whole_file();
  if (fcntl(*fd, F_OFD_SETLK, &lock) == 0) {
    *died = written_pid(*fd) != 0;
    char text[32];
    int len = snprintf(text, sizeof text, "%lld\n", (long long)getpid());
    if (ftruncate(*fd, 0) == 0 && pwrite(*fd, text, (size_t)len, 0) == len) return DA_OK;
    da_status status = da_fail(err, DA_EIO, "cannot write the lock file %s/lock: %s", path, strerror(errno));
    (void)close(*fd);
    *fd = -1;
    return status;
  }
  int why = errno;
  int64_t pid = written_pid(*fd);
  (void)close(*fd);
  *fd = -1;
  if (why != EAGAIN && why != EACCES) {
    return da_fail(err, DA_EIO, "cannot lock %s/lock: %s", path, strerror(why));
  }
  return da_fail(err, DA_EBUSY, "the store %s is in use by process %lld", path, (long long)pid);
}

void da_lock_mark_ended(int fd)
{
  if (fd < 0) return;
  int emptied = ftruncate(fd, 0);
  (void)emptied; /* then it looks like a death, which costs a record */
}

void da_lock_release(int fd, bool died)
{
  if (fd < 0) return;
  if (!died) da_lock_mark_ended(fd);
  (void)close(fd);
}

int64_t da_store_holder(const char *path)
{
  int fd = open_lock_file(path, O_RDONLY);
  if (fd < 0) return 0;
  struct flock lock = whole_file();
  int64_t pid = 0;
  if (fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK) pid = written_pid(fd);
  (void)close(fd);
  return pid;
}

/* LMDB takes record locks of its own, which a process loses as soon as it closes any descriptor of that file: opening
 * one directory twice in one process would undo them silently. So that is refused, and this list is how it is known. */
struct da_claim {
  dev_t dev;
  ino_t ino;
  da_claim *next;
};

static pthread_mutex_t claims_mutex = PTHREAD_MUTEX_INITIALIZER;
static da_claim *claims;

da_status da_lock_claim(const char *path, da_claim **out, da_err *err)
{
  struct stat st;
  *out = NULL;
  if (stat(path, &st) != 0) return da_fail(err, DA_ENOTFOUND, "there is no store at %s: %s", path, strerror(errno));
  (void)pthread_mutex_lock(&claims_mutex);
  da_claim *c = claims;
  while (c != NULL && (c->dev != st.st_dev || c->ino != st.st_ino)) c = c->next;
  bool taken = c != NULL;
  if (!taken) {
    c = da_xmalloc(sizeof *c);
    *c = (da_claim){st.st_dev, st.st_ino, claims};
    claims = *out = c;
  }
  (void)pthread_mutex_unlock(&claims_mutex);
  if (!taken) return DA_OK;
  return da_fail(err, DA_EBUSY, "the store %s is in use by process %lld (this one)", path, (long long)getpid());
}

void da_lock_unclaim(da_claim *claim)
{
  if (claim == NULL) return;
  (void)pthread_mutex_lock(&claims_mutex);
  da_claim **link = &claims;
  while (*link != claim) link = &(*link)->next;
  *link = claim->next;
  (void)pthread_mutex_unlock(&claims_mutex);
  free(claim);
}
