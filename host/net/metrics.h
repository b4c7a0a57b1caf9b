/* metrics.h - what was asked and how it went, counted, and the text in which a scraper reads it.
 *
 * Here:     the counters of requests that servers of the protocol share by name (resonate_...), and the pieces of the
 *           Prometheus text exposition format for all others. Whoever counts something itself writes it when asked.
 * Bounds:   labels are of known sets: a kind nobody knows is "unknown", so no peer can make the text grow.
 * Threads:  the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_NET_METRICS_H
#define DA_NET_METRICS_H

#include "../engine/record.h"

typedef struct da_metrics da_metrics;

da_metrics *da_metrics_new(void);
void da_metrics_delete(da_metrics *metrics);

/* One request of the protocol was answered. */
void da_metrics_request(da_metrics *metrics, da_slice kind, int status, uint64_t took_ns);
void da_metrics_write(const da_metrics *metrics, da_buf *out);

/* ---- the text format ----------------------------------------------------------------------------------- */

/* The two lines that begin a family; type is "counter", "gauge" or "histogram". */
void da_metrics_family(da_buf *out, const char *name, const char *type, const char *help);
/* A family of one counter or gauge without labels. */
void da_metrics_counter(da_buf *out, const char *name, const char *help, uint64_t value);
void da_metrics_gauge(da_buf *out, const char *name, const char *help, uint64_t value);

#endif
