/* embed.c - a program that embeds dahost: runs a workflow of a script and prints what it came to.
 *
 *     embed DIRECTORY SCRIPT ID FUNCTION [ARGUMENTS]
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "dahost.h"

int main(int argc, char **argv)
{
  static const char *const words[] = {"unknown", "pending", "resolved", "rejected", "canceled", "timedout"};
  char why[256];
  if (argc < 5) return 2;
  const dahost_options options = {.size = sizeof options, .directory = argv[1]};
  dahost *host = dahost_open(&options, why, sizeof why);
  if (host == NULL) {
    (void)fprintf(stderr, "%s\n", why);
    return 1;
  }
  dahost_state state = DAHOST_UNKNOWN;
  if (dahost_load(host, argv[2]) && dahost_start(host, argv[3], argv[4], argc > 5 ? argv[5] : "[]"))
    state = dahost_wait(host, argv[3], -1);
  (void)printf("%s %s\n", words[state], state == DAHOST_UNKNOWN ? dahost_error(host) : dahost_result(host));
  dahost_close(host);
  return state == DAHOST_RESOLVED ? 0 : 1;
}
