/* kill.c - the death a test asked for, at the place it named.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kill.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[] = {"commit.before", "commit.after", "answer.before", "outbox.before", "outbox.after"};
enum { POINTS = sizeof names / sizeof *names };

static int wanted = -1;     /* set before threads, then only read */
static _Atomic long passes; /* left until the kill */

const char *da_kill_setup(void)
{
  const char *text = getenv("DAHOST_KILL");
  if (text == NULL || *text == '\0') return NULL;
  size_t len = strcspn(text, ":");
  for (int i = 0; i < POINTS; i++)
    if (strlen(names[i]) == len && memcmp(names[i], text, len) == 0) wanted = i;
  if (wanted < 0)
    return "DAHOST_KILL names no point: commit.before, commit.after, answer.before, outbox.before or outbox.after";
  long nth = 1;
  if (text[len] == ':') {
    char *end;
    nth = strtol(text + len + 1, &end, 10);
    if (end == text + len + 1 || *end != '\0' || nth < 1) {
      wanted = -1;
      return "DAHOST_KILL wants a number from 1 behind the colon, as in commit.after:3";
    }
  }
  atomic_store(&passes, nth);
  return NULL;
}

void da_kill_at(da_kill_point point)
{
  if ((int)point != wanted) return;
  if (atomic_fetch_sub(&passes, 1) != 1) return;
  (void)kill(getpid(), SIGKILL);
  for (;;) (void)pause(); /* nothing more happens on this thread */
}
