/* systemd.c - a service manager: sockets that it opened, and what it wants to be told.
 * SPDX-License-Identifier: Apache-2.0 */
#include "systemd.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../base/clock.h"

enum { FIRST_FD = 3 }; /* SD_LISTEN_FDS_START */

/* A number of the environment, or 0. */
static long number_of(const char *name)
{
  const char *text = getenv(name);
  char *end;
  if (text == NULL || *text < '1' || *text > '9') return 0;
  long number = strtol(text, &end, 10);
  return *end == '\0' ? number : 0;
}

size_t cli_systemd_sockets(int *fds, size_t max)
{
  bool ours = number_of("LISTEN_PID") == (long)getpid();
  long count = ours ? number_of("LISTEN_FDS") : 0;
  size_t taken = 0;
  for (int fd = FIRST_FD; fd < FIRST_FD + count && taken < max; fd++) {
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) continue; /* closed */
    fds[taken++] = fd;
  }
  if (ours) {
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
  }
  return taken;
}

void cli_systemd_notify(const char *format, ...)
{
  const char *place = getenv("NOTIFY_SOCKET");
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t len = place != NULL ? strlen(place) : 0;
  if (len < 2 || len >= sizeof address.sun_path || (place[0] != '/' && place[0] != '@')) return;
  memcpy(address.sun_path, place, len);
  if (place[0] == '@') address.sun_path[0] = '\0'; /* a name without a file */
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  da_buf text = {0};
  va_list args;
  va_start(args, format);
  da_buf_addv(&text, format, args);
  va_end(args);
  socklen_t address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
  (void)sendto(fd, text.ptr, text.len, MSG_NOSIGNAL, (const struct sockaddr *)&address, address_len);
  (void)close(fd);
  da_buf_free(&text);
}

void cli_systemd_reloading(void)
{
  cli_systemd_notify("RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)(da_clock_mono_ns() / 1000));
}
