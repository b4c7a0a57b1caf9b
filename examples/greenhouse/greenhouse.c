/* greenhouse.c - a program of one's own that runs a workflow: the host is a library in it, and so are the drivers.
 *
 *   cc -std=c11 $(pkg-config --cflags dahost) -o greenhouse greenhouse.c ../device/device.c $(pkg-config --libs dahost)
 * -lpthread
 *   ./greenhouse STORE ../device/keep_warm.lua
 *
 * Kill it and start it again: it goes on where it was. What `dahost run --plugin` loads is linked to it here.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "dahost.h"

extern const dahost_library_info dahost_plugin; /* of device.c */

int main(int argc, char **argv)
{
  static const dahost_library_info *const drivers[] = {&dahost_plugin, NULL};
  char why[256];
  if (argc != 3) {
    (void)fprintf(stderr, "greenhouse STORE SCRIPT\n");
    return 2;
  }
  const dahost_options options = {.size = sizeof options, .directory = argv[1], .libraries = drivers};
  dahost *host = dahost_open(&options, why, sizeof why);
  if (host == NULL) {
    (void)fprintf(stderr, "%s\n", why);
    return 1;
  }
  dahost_state state = DAHOST_UNKNOWN;
  if (dahost_load(host, argv[2]) && dahost_start(host, "greenhouse-1", "keep_warm", "[20, 4, \"3ms\"]")) do
      state = dahost_wait(host, "greenhouse-1", 1000); /* here is the place for whatever else the program has to do */
    while (state == DAHOST_PENDING);
  if (state == DAHOST_RESOLVED)
    (void)printf("%s\n", dahost_result(host));
  else
    (void)fprintf(stderr, "%s\n", state == DAHOST_UNKNOWN ? dahost_error(host) : dahost_result(host));
  dahost_close(host);
  return state == DAHOST_RESOLVED ? 0 : 1;
}
