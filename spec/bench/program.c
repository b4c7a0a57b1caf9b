/* program.c - the shipped program from outside: how soon it has done something, what it takes when it has nothing to
 * do. SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../host/base/clock.h"
#include "bench.h"

/* Its output goes nowhere. `args` ends with NULL; its first is the program. */
static pid_t spawn(const bench_place *place, const char *const *args)
{
  if (place->program == NULL) bench_die("DAHOST_BIN does not name the program");
  pid_t child = fork();
  if (child < 0) bench_die("fork: %s", strerror(errno));
  if (child > 0) return child;
  int nowhere = open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; fd++) (void)dup2(nowhere, fd);
  (void)execv(args[0], (char *const *)(uintptr_t)args);
  _exit(127);
}

double bench_launch(const bench_place *place, const char *store, const char *id, double *resident)
{
  const char *path = bench_path(place, store);
  const char *args[] = {place->program, "run", place->script, "steps", "1", "--id", id, "--data", path, NULL};
  struct rusage usage;
  int status;
  uint64_t begin = da_clock_mono_ns();
  pid_t child = spawn(place, args);
  if (wait4(child, &status, 0, &usage) != child) bench_die("wait4: %s", strerror(errno));
  double seconds = bench_since(begin);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    bench_die("%s run %s steps 1 --data %s failed (status %d)", place->program, place->script, path, status);
  *resident = (double)usage.ru_maxrss * 1024;
  return seconds;
}

void bench_program(const bench_place *place, int runs, int unused)
{
  (void)unused;
  double *seconds = da_xcalloc((size_t)runs, sizeof *seconds);
  double resident = 0;
  for (int i = 0; i < runs; i++) {
    char store[32];
    (void)snprintf(store, sizeof store, "program-%d", i);
    seconds[i] = bench_launch(place, store, "one", &resident);
  }
  qsort(seconds, (size_t)runs, sizeof *seconds, bench_by_size);
  bench_say("ms", 1e3 * seconds[runs / 2]);
  bench_say("worst_ms", 1e3 * seconds[runs - 1]);
  bench_say("resident_bytes", resident);
  free(seconds);
}

/* ---- idle ---------------------------------------------------------------------------------------------- */

/* The number behind `name` in a file of /proc/PID. */
static double proc_field(pid_t pid, const char *file, const char *name)
{
  char path[64], line[256];
  double value = -1;
  (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
  FILE *in = fopen(path, "r");
  while (in != NULL && value < 0 && fgets(line, sizeof line, in) != NULL)
    if (strncmp(line, name, strlen(name)) == 0) value = strtod(line + strlen(name), NULL);
  if (value < 0) bench_die("%s does not tell %s (has it ended?)", path, name);
  (void)fclose(in);
  return value;
}

typedef struct work {
  double ns;   /* on a processor */
  double runs; /* times it was given one */
} work;

/* Of all its threads: the first and the third number of their schedstat. */
static work work_of(pid_t pid)
{
  char path[64];
  work sum = {0, 0};
  (void)snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
  DIR *tasks = opendir(path);
  if (tasks == NULL) bench_die("%s: %s", path, strerror(errno));
  for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
    char file[400], line[128];
    if (entry->d_name[0] == '.') continue;
    (void)snprintf(file, sizeof file, "%s/%s/schedstat", path, entry->d_name);
    FILE *in = fopen(file, "r");
    if (in == NULL) continue; /* a thread that ended since */
    if (fgets(line, sizeof line, in) != NULL) {
      char *at;
      sum.ns += strtod(line, &at);
      (void)strtod(at, &at);
      sum.runs += strtod(at, NULL);
    }
    (void)fclose(in);
  }
  (void)closedir(tasks);
  return sum;
}

static void rest(int ms)
{
  struct timespec time = {ms / 1000, ms % 1000 * 1000000L};
  while (nanosleep(&time, &time) != 0 && errno == EINTR) continue;
}

/* Twice the time: first to come to rest, then to be watched. */
void bench_idle(const bench_place *place, int ms, int unused)
{
  (void)unused;
  const char *path = bench_path(place, "idle");
  const char *args[] = {place->program, "run", place->script, "sleeper", "--id", "one", "--data", path, NULL};
  pid_t child = spawn(place, args);
  rest(ms);
  work before = work_of(child);
  rest(ms);
  work after = work_of(child);
  bench_say("resident_bytes", 1024 * proc_field(child, "status", "VmRSS:"));
  bench_say("own_bytes", 1024 * proc_field(child, "status", "RssAnon:"));
  bench_say("cpu_share", (after.ns - before.ns) / (1e6 * ms));
  bench_say("wakeups_s", (after.runs - before.runs) / (1e-3 * ms));
  (void)kill(child, SIGKILL);
  (void)waitpid(child, NULL, 0);
}
