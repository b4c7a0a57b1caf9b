/* main.c - da_bench: one measure per run, chosen by name.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "../../host/base/clock.h"
#include "bench.h"

typedef struct measure {
  const char *name;
  bench_measure *run;
  const char *usage; /* its sizes */
} measure;

static const measure measures[] = {
    {"step", bench_step, "STEPS                 one execution, one step after the other"},
    {"steps", bench_steps, "EXECUTIONS STEPS      many at once; then the same rows into LMDB and SQLite"},
    {"starts", bench_starts, "EXECUTIONS            started and completed, one step each"},
    {"replay", bench_replay, "STEPS                 recovered from so many records"},
    {"again", bench_again, "GENERATIONS           one execution that began so often, resumed; and one of three"},
    {"park", bench_park, "EXECUTIONS REST_MS    put to sleep for two days: disk and memory of each"},
    {"warm", bench_warm, "EXECUTIONS REST_MS    the same, kept in memory"},
    {"resume", bench_resume, "STEPS                 one more wakes in the store that `park` left"},
    {"wake", bench_wake, "EXECUTIONS            those of `park` two days later, in a new process"},
    {"crash", bench_crash, "EXECUTIONS STEPS      killed half-way, taken over, finished"},
    {"cold", bench_cold,
     "STEPS TAIL            resumed from an image and from records: STEPS, and a 100th, a 10,000th"},
    {"images", bench_images_cost, "STEPS EVERY           of one and of 100 executions, with images and without"},
    {"evict", bench_evict,
     "EXECUTIONS REST_MS    suspended, evicted, resumed in random order, with images and without"},
    {"retain", bench_retain, "RECORDS               written into a store, of finished executions"},
    {"retained", bench_retained, "EXECUTIONS STEPS      as `steps`, in the store that `retain` left and an empty one"},
    {"sleepers", bench_sleepers, "EXECUTIONS            sleeping ones written into a store"},
    {"ready", bench_ready, "                      a start on the store that `sleepers` left"},
    {"schedules", bench_schedules, "SCHEDULES PERIOD_S    fired spread over the period, then all in one second"},
    {"requests", bench_requests, "REQUESTS CLIENTS      create + settle in this process"},
    {"program", bench_program, "RUNS                  `dahost run` of one step, each in a new store"},
    {"idle", bench_idle, "MS                    `dahost run` of one that sleeps"},
};
enum { MEASURES = sizeof measures / sizeof *measures };

_Noreturn void bench_die(const char *format, ...)
{
  va_list args;
  va_start(args, format);
  (void)fprintf(stderr, "da_bench: ");
  (void)vfprintf(stderr, format, args);
  (void)fprintf(stderr, "\n");
  va_end(args);
  exit(1);
}

const char *bench_path(const bench_place *place, const char *name)
{
  static char paths[3][4096];
  static unsigned turn;
  char *path = paths[turn++ % 3];
  (void)snprintf(path, sizeof paths[0], "%s/%s", place->directory, name);
  return path;
}

double bench_since(uint64_t begin_ns)
{
  return (double)(da_clock_mono_ns() - begin_ns) / 1e9;
}

void bench_say(const char *name, double value)
{
  (void)printf("%s=%.6g\n", name, value);
}

int bench_by_size(const void *a, const void *b)
{
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

double bench_memory(void)
{
  FILE *file = fopen("/proc/self/status", "r");
  char line[256];
  double kib = -1;
  while (file != NULL && kib < 0 && fgets(line, sizeof line, file) != NULL)
    if (strncmp(line, "RssAnon:", 8) == 0) kib = strtod(line + 8, NULL);
  if (kib < 0) bench_die("/proc/self/status does not tell RssAnon");
  (void)fclose(file);
  return kib * 1024;
}

static double seconds_of(struct timeval t)
{
  return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

double bench_cpu(void)
{
  struct rusage usage;
  if (getrusage(RUSAGE_SELF, &usage) != 0) bench_die("getrusage: %s", strerror(errno));
  return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

static _Noreturn void usage(void)
{
  (void)fprintf(stderr, "usage: da_bench MEASURE DIRECTORY SCRIPT [SIZE [SIZE]]\n");
  for (int i = 0; i < MEASURES; i++) (void)fprintf(stderr, "  %-9s %s\n", measures[i].name, measures[i].usage);
  exit(2);
}

static int size_of(const char *text)
{
  char *end;
  long value = strtol(text, &end, 10);
  if (end == text || *end != '\0' || value < 1 || value > 100000000)
    bench_die("%s is not a size; name a number from 1 to 100000000", text);
  return (int)value;
}

int main(int argc, char **argv)
{
  if (argc < 4 || argc > 6) usage();
  bench_place place = {argv[2], argv[3], getenv("DAHOST_BIN")};
  if (mkdir(place.directory, 0700) != 0 && errno != EEXIST) bench_die("%s: %s", place.directory, strerror(errno));
  bind_setup();
  (void)setvbuf(stdout, NULL, _IOLBF, 0);
  for (int i = 0; i < MEASURES; i++) {
    if (strcmp(argv[1], measures[i].name) != 0) continue;
    measures[i].run(&place, argc > 4 ? size_of(argv[4]) : 0, argc > 5 ? size_of(argv[5]) : 0);
    return 0;
  }
  usage();
}
