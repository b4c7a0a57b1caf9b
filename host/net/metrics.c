/* metrics.c - what was asked and how it went, counted.
 * SPDX-License-Identifier: Apache-2.0 */
#include "metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const kinds[] = {"unknown",
                                    "promise.get",
                                    "promise.create",
                                    "promise.settle",
                                    "promise.register_callback",
                                    "promise.register_listener",
                                    "promise.search",
                                    "task.get",
                                    "task.create",
                                    "task.acquire",
                                    "task.release",
                                    "task.fulfill",
                                    "task.suspend",
                                    "task.fence",
                                    "task.heartbeat",
                                    "task.halt",
                                    "task.continue",
                                    "task.search",
                                    "schedule.get",
                                    "schedule.create",
                                    "schedule.delete",
                                    "schedule.search",
                                    "debug.start",
                                    "debug.stop",
                                    "debug.reset",
                                    "debug.tick",
                                    "debug.snap"};
/* 0 stands for every other one. */
static const int statuses[] = {0, 200, 300, 400, 401, 403, 404, 409, 413, 422, 500, 501, 503};
/* Upper bounds in microseconds: from one that finds its batch at once to the client's usual patience. */
static const uint32_t bounds_us[] = {100,   250,    500,    1000,   2500,    5000,    10000,   25000,
                                     50000, 100000, 250000, 500000, 1000000, 2500000, 10000000};

enum {
  KINDS = sizeof kinds / sizeof *kinds,
  STATUSES = sizeof statuses / sizeof *statuses,
  BOUNDS = sizeof bounds_us / sizeof *bounds_us
};

typedef struct durations {
  uint64_t buckets[BOUNDS + 1]; /* the last: longer than all bounds */
  uint64_t sum_ns;
} durations;

struct da_metrics {
  uint64_t answered[KINDS][STATUSES];
  durations durations[KINDS];
};

da_metrics *da_metrics_new(void)
{
  return da_xcalloc(1, sizeof(da_metrics));
}

void da_metrics_delete(da_metrics *metrics)
{
  free(metrics);
}

static size_t find_kind(da_slice kind)
{
  for (size_t i = 1; i < KINDS; i++)
    if (da_slice_eq(da_slice_of(kinds[i]), kind)) return i;
  return 0;
}

static size_t find_status(int status)
{
  for (size_t i = 1; i < STATUSES; i++)
    if (statuses[i] == status) return i;
  return 0;
}

void da_metrics_request(da_metrics *metrics, da_slice kind_text, int status, uint64_t took_ns)
{
  size_t kind = find_kind(kind_text);
  durations *took = &metrics->durations[kind];
  size_t bucket = 0;
  while (bucket < BOUNDS && took_ns > (uint64_t)bounds_us[bucket] * 1000) bucket++;
  took->buckets[bucket]++;
  took->sum_ns += took_ns;
  metrics->answered[kind][find_status(status)]++;
}

/* ---- the text format ----------------------------------------------------------------------------------- */

void da_metrics_family(da_buf *out, const char *name, const char *type, const char *help)
{
  da_buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* One line. labels: NULL, or what stands between the braces, made with add_label(). */
static void put_value(da_buf *out, const char *name, const da_buf *labels, uint64_t value)
{
  if (labels != NULL)
    da_buf_addf(out, "%s{%.*s} %" PRIu64 "\n", name, DA_FMT(*labels), value);
  else
    da_buf_addf(out, "%s %" PRIu64 "\n", name, value);
}

void da_metrics_counter(da_buf *out, const char *name, const char *help, uint64_t value)
{
  da_metrics_family(out, name, "counter", help);
  put_value(out, name, NULL, value);
}

void da_metrics_gauge(da_buf *out, const char *name, const char *help, uint64_t value)
{
  da_metrics_family(out, name, "gauge", help);
  put_value(out, name, NULL, value);
}

/* Appends name="value" to the labels, escaped. */
static void add_label(da_buf *labels, const char *name, da_slice value)
{
  da_buf_addf(labels, "%s%s=\"", labels->len > 0 ? "," : "", name);
  for (size_t i = 0; i < value.len; i++) {
    char c = value.ptr[i];
    if (c == '\\' || c == '"') da_buf_add_byte(labels, '\\');
    if (c == '\n')
      da_buf_add_slice(labels, DA_LIT("\\n"));
    else
      da_buf_add_byte(labels, (uint8_t)c);
  }
  da_buf_add_byte(labels, '"');
}

static void write_answered(const da_metrics *metrics, da_buf *out)
{
  static const char name[] = "resonate_request_total";
  da_buf labels = {0};
  da_metrics_family(out, name, "counter", "Requests answered, by kind and status.");
  for (size_t kind = 0; kind < KINDS; kind++)
    for (size_t status = 0; status < STATUSES; status++) {
      if (metrics->answered[kind][status] == 0) continue;
      char number[16] = "other";
      if (status > 0) (void)snprintf(number, sizeof number, "%d", statuses[status]);
      da_buf_clear(&labels);
      add_label(&labels, "kind", da_slice_of(kinds[kind]));
      add_label(&labels, "status", da_slice_of(number));
      put_value(out, name, &labels, metrics->answered[kind][status]);
    }
  da_buf_free(&labels);
}

static void write_duration(const durations *took, const char *kind, da_buf *out)
{
  uint64_t count = 0;
  da_buf labels = {0};
  for (size_t bucket = 0; bucket <= BOUNDS; bucket++) {
    char bound[32] = "+Inf";
    if (bucket < BOUNDS) (void)snprintf(bound, sizeof bound, "%g", (double)bounds_us[bucket] / 1e6);
    count += took->buckets[bucket];
    da_buf_clear(&labels);
    add_label(&labels, "kind", da_slice_of(kind));
    add_label(&labels, "le", da_slice_of(bound));
    put_value(out, "resonate_request_duration_seconds_bucket", &labels, count);
  }
  da_buf_addf(out, "resonate_request_duration_seconds_sum{kind=\"%s\"} %.9f\n", kind, (double)took->sum_ns / 1e9);
  da_buf_addf(out, "resonate_request_duration_seconds_count{kind=\"%s\"} %" PRIu64 "\n", kind, count);
  da_buf_free(&labels);
}

static bool was_asked(const uint64_t answered[STATUSES])
{
  uint64_t sum = 0;
  for (size_t status = 0; status < STATUSES; status++) sum += answered[status];
  return sum > 0;
}

void da_metrics_write(const da_metrics *metrics, da_buf *out)
{
  write_answered(metrics, out);
  da_metrics_family(out, "resonate_request_duration_seconds", "histogram",
                    "From the whole request to its answer, the flush included.");
  for (size_t kind = 0; kind < KINDS; kind++)
    if (was_asked(metrics->answered[kind])) write_duration(&metrics->durations[kind], kinds[kind], out);
}
