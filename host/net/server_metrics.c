/* server_metrics.c - the server's own counters, gathered from its parts.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "server_parts.h"

static void write_deliveries(const da_server *s, da_buf *out)
{
  static const char name[] = "resonate_deliveries_total";
  da_push_stats push = {0};
  if (s->push != NULL) push = da_push_get_stats(s->push);
  da_metrics_family(out, name, "counter", "Messages posted to http addresses, by how it went.");
  da_buf_addf(out, "%s{status=\"success\"} %" PRIu64 "\n", name, push.delivered);
  da_buf_addf(out, "%s{status=\"error\"} %" PRIu64 "\n", name, push.failed);
  da_buf_addf(out, "%s{status=\"dropped\"} 0\n", name); /* the outbox keeps what finds no room */
  da_metrics_gauge(out, "dahost_push_under_way", "Posts under way.", push.under_way);
  da_metrics_gauge(out, "dahost_push_waiting", "Messages that wait for a post.", push.waiting);
}

static void write_streams(const da_server *s, da_buf *out)
{
  da_poll_stats poll = da_poll_get_stats(s->poll);
  da_metrics_gauge(out, "dahost_poll_connections", "Workers that hold a stream open.", poll.connections);
  da_metrics_counter(out, "dahost_poll_delivered_total", "Messages written to streams.", poll.delivered);
  da_metrics_counter(out, "dahost_poll_lost_total", "Messages that a stream could not take.", poll.lost);
}

static void write_connections(const da_server *s, da_buf *out)
{
  da_http_stats http = da_http_server_stats(s->http);
  da_metrics_gauge(out, "dahost_http_connections", "Connections open.", http.connections);
  da_metrics_counter(out, "dahost_http_accepted_total", "Connections accepted.", http.accepted);
  da_metrics_counter(out, "dahost_http_requests_total", "Requests of HTTP, whatever they asked for.", http.requests);
  da_metrics_counter(out, "dahost_http_refused_total", "Requests answered by the HTTP layer alone.", http.refused);
  da_metrics_counter(out, "dahost_http_dropped_total", "Connections dropped for reading too slowly.", http.dropped);
  da_metrics_counter(out, "dahost_answers_lost_total", "Answers whose asker had gone.", s->lost_answers);
}

static void write_messages(const da_sched_stats *stats, da_buf *out)
{
  static const char name[] = "resonate_messages_total";
  da_metrics_family(out, name, "counter", "Messages that were taken by a stream, or by an http address.");
  da_buf_addf(out, "%s{kind=\"execute\"} %" PRIu64 "\n", name, stats->executes);
  da_buf_addf(out, "%s{kind=\"unblock\"} %" PRIu64 "\n", name, stats->unblocks);
  da_metrics_counter(out, "dahost_messages_dropped_total", "Messages nobody could take, or came for in time.",
                     stats->dropped);
  da_metrics_gauge(out, "dahost_messages_under_way", "Messages offered, and not yet out of the outbox.",
                   stats->messages_waiting);
}

static void write_store(const da_server *s, const da_sched_stats *stats, da_buf *out)
{
  static const char seconds[] = "dahost_commit_seconds_total";
  da_metrics_counter(out, "resonate_schedule_promises_total", "Promises that schedules made.", stats->fired);
  da_metrics_counter(out, "dahost_operations_total", "Operations applied by the store thread.", stats->ops);
  da_metrics_counter(out, "dahost_commits_total", "Commits flushed to disk.", stats->commits);
  da_metrics_family(out, seconds, "counter", "Time spent in these.");
  da_buf_addf(out, "%s %.6f\n", seconds, (double)stats->commit_ns / 1e9);
  da_metrics_gauge(out, "dahost_queue_length", "Operations that wait for the store thread.", stats->queued);
  da_metrics_counter(out, "dahost_queue_refused_total", "Operations refused because the queue was full.",
                     stats->refused);
  da_metrics_gauge(out, "dahost_requests_under_way", "Requests that wait for their commit.", s->asked);
}

void da_server_write_metrics(da_server *s, da_buf *out)
{
  da_metrics_write(s->metrics, out);
  write_deliveries(s, out);
  write_streams(s, out);
  write_connections(s, out);
  da_sched_stats stats = da_sched_get_stats(s->sched);
  write_messages(&stats, out);
  write_store(s, &stats, out);
  if (s->more_metrics != NULL) s->more_metrics(s->user, out);
}
