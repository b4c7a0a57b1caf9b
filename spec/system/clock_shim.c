/* clock_shim.c - for bad_input_clock_spec.lua: preloaded into the program, moves the machine's clock by the
 * milliseconds that the file CLOCK_SHIM holds at that instant. Time since boot is left alone, as by a clock that is set
 * by hand.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long long offset_ms(void)
{
  char text[32] = {0};
  const char *path = getenv("CLOCK_SHIM");
  int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) return 0;
  ssize_t got = read(fd, text, sizeof text - 1);
  (void)close(fd);
  return got > 0 ? strtoll(text, NULL, 10) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
  if (syscall(SYS_clock_gettime, clock, t) != 0) return -1;
  if (clock != CLOCK_REALTIME) return 0;
  long long ns = (long long)t->tv_nsec + offset_ms() % 1000 * 1000000;
  long long carry = ns < 0 ? -1 : ns / 1000000000;
  t->tv_sec += (time_t)(offset_ms() / 1000 + carry);
  t->tv_nsec = (long)(ns - carry * 1000000000);
  return 0;
}
