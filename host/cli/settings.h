/* settings.h - the settings of a server: one list that makes its flags, its environment variables, the keys of its
 * file, its help and what --print-config prints.
 *
 * To add one: its line here, its row in README.md, and whoever uses it asks config.h for it. Nothing else.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_SETTINGS_H
#define DA_CLI_SETTINGS_H

#include <stdint.h>

typedef enum cli_setting_type {
  CLI_TYPE_TEXT,
  CLI_TYPE_SECRET, /* a text that is never shown */
  CLI_TYPE_NUMBER,
  CLI_TYPE_BYTES,    /* of a flag: 500k, 64M; in the file also a number */
  CLI_TYPE_DURATION, /* of a flag: 10s, 500ms; in the file also a number of milliseconds */
  CLI_TYPE_SWITCH,
  CLI_TYPE_WORD, /* one of some */
  CLI_TYPE_LIST, /* texts; a flag that may be given several times */
} cli_setting_type;

#define CLI_MS_MAX ((int64_t)30 * 24 * 3600 * 1000) /* 30 days: what libuv's timers and people mean by a timeout */

/* X(NAME, "flag", "key of the file", SHARED, TYPE, "default" or NULL, least, most, "words" of a WORD or NULL,
 * "METAVAR", "help")
 *
 * SHARED: the key means the same to the Resonate server (https://docs.resonatehq.io), so its environment variable
 * RESONATE_<SECTION>__<KEY> is taken, too. OWN: it is ours. The order is that of the printed file: by sections. */
#define CLI_SETTING_MAP(X)                                                                                             \
  X(DATA, "data", "data", OWN, TEXT, "./.dahost", 0, 0, NULL, "DIR", "directory of the store")                         \
  X(LOG, "log", "level", SHARED, WORD, NULL, 0, 0, "debug info warn error", "LEVEL", "log this and worse on stderr")   \
  X(DEBUG, "debug", "debug", SHARED, SWITCH, "false", 0, 0, NULL, NULL,                                                \
    "answer debug.*, which forge the time and delete everything")                                                      \
  X(LOG_FORMAT, "log-format", "log_format", OWN, WORD, "text", 0, 0, "text json", "FORMAT",                            \
    "of what is said on stderr; json: one object a line")                                                              \
  X(LISTEN, "listen", "server.listen", OWN, LIST, "127.0.0.1:8001", 0, 0, NULL, "ADDR",                                \
    "listen at HOST:PORT, [::1]:PORT, unix:PATH (several times: at all of them), or none")                             \
  X(BIND, "bind", "server.bind", SHARED, TEXT, "127.0.0.1", 0, 0, NULL, "HOST",                                        \
    "with --port, another way to say --listen HOST:PORT")                                                              \
  X(PORT, "port", "server.port", SHARED, NUMBER, "8001", 0, 65535, NULL, "N",                                          \
    "with --bind, the same (0: any free port)")                                                                        \
  X(URL, "url", "server.url", SHARED, TEXT, NULL, 0, 0, NULL, "URL", "what workers reach this server by")              \
  X(SHUTDOWN_TIMEOUT, "shutdown-timeout", "server.shutdown_timeout", SHARED, DURATION, "10s", 0, CLI_MS_MAX, NULL,     \
    "D", "what requests under way have to end")                                                                        \
  X(BODY_LIMIT, "body-limit", "server.body_limit", OWN, BYTES, "2M", 1024, 1 << 30, NULL, "BYTES",                     \
    "a longer request is refused with 413")                                                                            \
  X(MAX_CONNECTIONS, "max-connections", "server.max_connections", OWN, NUMBER, "4096", 1, 1000000, NULL, "N",          \
    "more connections are refused with 503")                                                                           \
  X(ACCESS_LOG, "access-log", "server.access_log", OWN, SWITCH, "false", 0, 0, NULL, NULL,                             \
    "one line for each request")                                                                                       \
  X(CORS, "cors", "server.cors.allow_origins", SHARED, LIST, NULL, 0, 0, NULL, "ORIGIN",                               \
    "pages of this origin may ask (*: of any); may be given several times")                                            \
  X(TLS_CERT, "tls-cert", "server.tls.certificate", OWN, TEXT, NULL, 0, 0, NULL, "FILE",                               \
    "speak TLS; PEM, with the chain")                                                                                  \
  X(TLS_KEY, "tls-key", "server.tls.key", OWN, TEXT, NULL, 0, 0, NULL, "FILE", "the certificate's private key; PEM")   \
  X(AUTH_PUBLICKEY, "auth-publickey", "auth.publickey", SHARED, TEXT, NULL, 0, 0, NULL, "FILE",                        \
    "demand tokens signed for this key (PEM); none: do not check signatures")                                          \
  X(AUTH_SECRET_FILE, "auth-secret-file", "auth.secret_file", OWN, TEXT, NULL, 0, 0, NULL, "FILE",                     \
    "demand tokens signed with the secret in this file")                                                               \
  X(AUTH_ISS, "auth-iss", "auth.iss", SHARED, TEXT, NULL, 0, 0, NULL, "ISSUER", "demand tokens of this issuer")        \
  X(AUTH_AUD, "auth-aud", "auth.aud", SHARED, TEXT, NULL, 0, 0, NULL, "AUDIENCE", "demand tokens for this audience")   \
  X(PUSH, "push", "transports.http_push.enabled", SHARED, SWITCH, "true", 0, 0, NULL, NULL,                            \
    "whether messages to addresses http://... and https://... are sent")                                               \
  X(PUSH_CONCURRENCY, "push-concurrency", "transports.http_push.concurrency", SHARED, NUMBER, "256", 1, 65536, NULL,   \
    "N", "so many of these messages are under way at a time")                                                          \
  X(PUSH_CONNECT_TIMEOUT, "push-connect-timeout", "transports.http_push.connect_timeout", SHARED, DURATION, "10s", 1,  \
    CLI_MS_MAX, NULL, "D", "what connecting for one may take")                                                         \
  X(PUSH_REQUEST_TIMEOUT, "push-request-timeout", "transports.http_push.request_timeout", SHARED, DURATION, "3m", 1,   \
    CLI_MS_MAX, NULL, "D", "what all of one may take")                                                                 \
  X(PUSH_AUTH, "push-auth", "transports.http_push.auth.mode", SHARED, WORD, "none", 0, 0, "none bearer", "MODE",       \
    "what is sent along with each")                                                                                    \
  X(PUSH_TOKEN, "push-token", "transports.http_push.auth.token", SHARED, SECRET, NULL, 0, 0, NULL, "TOKEN",            \
    "the bearer token (flags can be read by other users of the machine: better by its variable)")                      \
  X(PUSH_HEADER, "push-header", "transports.http_push.auth.header", SHARED, TEXT, "authorization", 0, 0, NULL, "NAME", \
    "the header of that token")                                                                                        \
  X(POLL_CONNECTIONS, "poll-connections", "transports.http_poll.max_connections", SHARED, NUMBER, "1000", 1, 1000000,  \
    NULL, "N", "more workers that wait for messages are refused with 503")                                             \
  X(POLL_BUFFER, "poll-buffer", "transports.http_poll.buffer_size", SHARED, NUMBER, "100", 1, 1000000, NULL, "N",      \
    "messages under way to one worker; more are kept until it has room")                                               \
  X(POLL_KEEPALIVE, "poll-keepalive", "transports.http_poll.keepalive_interval", OWN, DURATION, "15s", 0, CLI_MS_MAX,  \
    NULL, "D", "a comment on a stream that is idle for so long (0: none)")                                             \
  X(RETRY_TIMEOUT, "retry-timeout", "tasks.retry_timeout", SHARED, DURATION, "30s", 1, CLI_MS_MAX, NULL, "D",          \
    "a task that nobody took is offered again after this")                                                             \
  X(METRICS, "metrics", "observability.metrics", OWN, TEXT, NULL, 0, 0, NULL, "ADDR",                                  \
    "show metrics there, at /metrics")                                                                                 \
  X(METRICS_PORT, "metrics-port", "observability.metrics_port", SHARED, NUMBER, "0", 0, 65535, NULL, "N",              \
    "the same at this port of --bind (0: nowhere)")                                                                    \
  X(ID_DIALECT, "id-dialect", "protocol.id_dialect", OWN, WORD, "any", 0, 0, "any colon dot off", "WORD",              \
    "how ids of calls are joined to their root's")                                                                     \
  X(ARM, "arm", "protocol.arm", OWN, WORD, "external", 0, 0, "external target all", "WORD",                            \
    "which promises time out by themselves, rather than when somebody looks")                                          \
  X(AWAIT_INTERNAL, "await-internal", "protocol.await_internal", OWN, WORD, "allow", 0, 0, "allow reject", "WORD",     \
    "callbacks on promises inside of an execution")                                                                    \
  X(AWAIT_CROSS_ORIGIN, "await-cross-origin", "protocol.await_cross_origin", OWN, WORD, "allow", 0, 0, "allow reject", \
    "WORD", "awaiting promises of another root")                                                                       \
  X(LISTENER_EXTERNAL_ONLY, "listener-external-only", "protocol.listener_external_only", OWN, WORD, "follows", 0, 0,   \
    "follows true false", "WORD",                                                                                      \
    "whether listeners on promises inside of an execution are refused; follows: as --await-internal says")             \
  X(TIMER_TARGET, "timer-target", "protocol.timer_target", OWN, WORD, "allow", 0, 0, "allow reject", "WORD",           \
    "timers that have a target")                                                                                       \
  X(SUSPEND_DUPS, "suspend-dups", "protocol.suspend_dups", OWN, WORD, "dedupe", 0, 0, "dedupe reject", "WORD",         \
    "one id awaited twice in one suspension")                                                                          \
  X(HEARTBEAT_MIXED, "heartbeat-mixed", "protocol.heartbeat_mixed", OWN, WORD, "allow", 0, 0, "allow reject", "WORD",  \
    "tasks of several roots in one heartbeat")                                                                         \
  X(PRELOAD_LIMIT, "preload-limit", "protocol.preload_limit", OWN, NUMBER, "-1", -1, 1000000, NULL, "N",               \
    "promises sent along with a task that is acquired (-1: no limit)")                                                 \
  X(SEARCH, "search", "protocol.search", OWN, WORD, "on", 0, 0, "on 501", "WORD",                                      \
    "*.search requests; 501: refuse them")                                                                             \
  X(CRON_DOW, "cron-dow", "protocol.cron_dow", OWN, WORD, "quartz", 0, 0, "quartz unix", "WORD",                       \
    "the days of the week in cron expressions of clients: quartz 1 is Sunday, unix 0 is")                              \
  X(CRON_NEVER, "cron-never", "protocol.cron_never", OWN, WORD, "minute", 0, 0, "minute reject", "WORD",               \
    "cron expressions of clients that never come: they come each minute, or are refused")                              \
  X(WARM, "warm", "worker.warm", OWN, BYTES, "64M", 0, (int64_t)1 << 50, NULL, "BYTES",                                \
    "memory for suspended executions (0: none is kept)")                                                               \
  X(IMAGES, "images", "worker.images", OWN, SWITCH, "true", 0, 0, NULL, NULL,                                          \
    "images of suspended executions, from which they go on without a replay")                                          \
  X(IMAGE_AFTER, "image-after", "worker.image_after", OWN, NUMBER, "50", 0, 1000000000, NULL, "N",                     \
    "calls after which an execution that goes cold is imaged")                                                         \
  X(IMAGE_EVERY, "image-every", "worker.image_every", OWN, NUMBER, "1000", 0, 1000000000, NULL, "N",                   \
    "calls after which one that stays in memory is imaged")                                                            \
  X(STEP_THREADS, "step-threads", "worker.step_threads", OWN, NUMBER, "4", 1, 256, NULL, "N",                          \
    "threads that run steps")                                                                                          \
  X(SPAN_LIMIT, "span-limit", "worker.span_limit", OWN, DURATION, "30s", 1, CLI_MS_MAX, NULL, "D",                     \
    "time workflow code may run without an await")                                                                     \
  X(DEATHS, "deaths", "worker.deaths", OWN, NUMBER, "10", 1, 1000000, NULL, "N",                                       \
    "deaths of the process in one step that park an execution")                                                        \
  X(PLUGIN, "plugin", "worker.plugins", OWN, LIST, NULL, 0, 0, NULL, "FILE",                                           \
    "functions in C for da.native, a shared object; may be given several times")

#endif
