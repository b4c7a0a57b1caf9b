/* guard.c - what a damaged data file does to whoever reads it.
 *
 * LMDB reads pages through a memory map and trusts the page numbers and lengths it finds in them. Those of a damaged
 * file may lead out of the file (SIGBUS) or out of the map (SIGSEGV), and a full disk may leave no page to the lock
 * file (SIGBUS). While a thread is inside of the store such a signal ends the process with words; anywhere else it is
 * left to whoever had it before. May not: do more than write and exit inside of the handler.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "../base/signals.h"
#include "rows.h"

enum { EXIT_DAMAGED = 74 /* as every failure of the store */ };

/* Path of the store that this thread reads. Its place is fixed when the module is loaded, not at the first use: a
 * signal handler may come then, and leak checkers lose what a module that was unloaded again had made. */
static _Thread_local const char *inside __attribute__((tls_model("initial-exec")));
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct sigaction before_bus, before_segv;

static void say(const char *text)
{
  ssize_t done = write(STDERR_FILENO, text, strlen(text));
  (void)done;
}

static _Noreturn void end_process(const char *what)
{
  say("dahost: the store ");
  say(inside);
  say(what);
  say(" (no room on the disk has the same look); nothing was written. An older copy of the directory may be whole\n");
  _exit(EXIT_DAMAGED);
}

static void on_fault(int number)
{
  if (inside != NULL) end_process(" is damaged: its pages lead out of the file");
  (void)sigaction(number, number == SIGBUS ? &before_bus : &before_segv, NULL); /* the fault comes again */
}

static void install(void)
{
  struct sigaction action = {.sa_handler = on_fault};
  if (!da_signals_ours()) return;
  (void)sigemptyset(&action.sa_mask);
  (void)sigaction(SIGBUS, &action, &before_bus);
  (void)sigaction(SIGSEGV, &action, &before_segv);
}

void da_guard_enter(const char *path)
{
  (void)pthread_once(&once, install);
  inside = path;
}

void da_guard_leave(void)
{
  inside = NULL;
}

void da_guard_damaged(void)
{
  if (inside != NULL) end_process(" is damaged: a page of it is not what it should be");
}
