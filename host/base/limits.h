/* limits.h - every bound of the program, with its why.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BASE_LIMITS_H
#define DA_BASE_LIMITS_H

enum {
  DA_ID_ROOT_MAX = 255,     /* bytes of a root id: an LMDB key ends at 511 */
  DA_ID_REST_MAX = 1000,    /* bytes of an id behind its root, separator included */
  DA_ID_REST_KEY_MAX = 160, /* a longer rest is keyed by its first DA_ID_REST_KEY_HEAD bytes and a hash */
  DA_ID_REST_KEY_HEAD = 128,
  DA_BATCH_OPS_MAX = 1024,         /* ops in one commit: beyond it only latency grows */
  DA_BATCH_BYTES_MAX = 1 << 20,    /* bytes of requests in one commit, as above */
  DA_BATCH_ANSWERS_MAX = 64 << 20, /* bytes of what one batch answers: its other ops go into the next */
  DA_UNTOLD_MAX = 64 << 20,    /* bytes of answers that the loop has not told, before the store thread waits for it */
  DA_QUEUE_OPS_MAX = 8 * 1024, /* queued ops: eight batches, then the network is told 503 */
  DA_DAMAGED_MAX = 64,         /* damaged records that what falls due is looked at without */
  DA_SWEEP_MAX = 256,          /* expiries in one sweep, so that a sweep never holds up a batch */
  DA_SCHEDULE_FIRE_MAX =
      16, /* instants of one schedule in one sweep, so that none that catches up keeps others waiting */
  DA_SCHEDULE_LATE_MS = 60000, /* what catches up nothing fires this late still, as crond does */
  DA_SCHEDULE_MAX = 1 << 20,   /* bytes of a schedule's param and tags: its record is written anew with each firing */
  DA_SCHEDULE_ID_MAX = 200,    /* bytes of its id: the id of a firing adds the instant */
  DA_SEARCH_MAX = 1000,        /* records in one answer to a search */
  DA_SEARCH_LOOK = 500,        /* records looked at in one turn of a search, so that it holds up no batch */
  DA_SEARCH_BYTES_MAX = 16 << 20, /* bytes of values in one answer: beyond it ends before its limit */
  DA_SEARCHES_MAX = 8,   /* searches of the network that are carried out at a time; others wait for their turn */
  DA_PRELOAD_MAX = 1000, /* records read for one preload, which is a hint that each fence of a worker asks for */
  DA_PRELOAD_BYTES_MAX = 4 << 20,        /* bytes of values in one */
  DA_PRELOAD_WHOLE_MAX = 100000,         /* records read for one that is to be whole: asked for once in a claim */
  DA_PRELOAD_WHOLE_BYTES_MAX = 32 << 20, /* bytes of its records: an answer that a client still takes */
  DA_CLAIM_MAX = 100, /* messages in one claim of the outbox: what a transport can be made to buffer at once */
  DA_CONTROL_LINE_MAX = 20 << 20,  /* bytes of a request on the control socket: a value of DA_VALUE_MAX and its words */
  DA_CONTROL_QUEUE_MAX = 64 << 20, /* bytes a slow reader of the control socket may owe before it is dropped */
  DA_CONTROL_CONNS_MAX = 256,      /* connections to the control socket: people and scripts, not a network */
  DA_TOKEN_MAX = 8 << 10,          /* bytes of a token: it travels in headers, whose lines servers end at about that */
  DA_TOKENS_MAX = 1024,            /* checked tokens that are remembered: more than that are not in use at a time */
  DA_CLAIMS_MAX = 64,              /* members of a token's header, or of its claims: each is held against each */
  DA_KEY_FILE_MAX = 64 << 10,      /* bytes of a key file: a certificate with its chain is a tenth of it */
  DA_HTTP_HEAD_MAX = 32 * 1024,    /* bytes of a request's head: room for a long token */
  DA_HTTP_TARGET_MAX = 8 * 1024,   /* bytes of its target (RFC 9110, 4.1: at least 8000) */
  DA_HTTP_FIELDS_MAX = 100,        /* its fields */
  DA_HTTP_PIPELINE_MAX = 64,       /* requests of one connection that are being answered; more are read later */
  DA_HTTP_HELD_MAX = 256 << 20,    /* bytes of requests that came and are not answered, of all connections */
  DA_CONFIG_FILE_MAX = 1 << 20,    /* bytes of a file of settings: there are some dozens of them */
  DA_HTTP_UNSENT_MAX = 64 << 20,   /* bytes that a slow reader of answers may owe: the largest answer, and more */
  DA_HTTP_OWED_MAX = 512 << 20,    /* as above, all readers together: eight of the slowest */
  DA_HTTP_VANISHED_MS = 60000,     /* a peer that acknowledges nothing for so long has gone (tcp(7)) */
  DA_METRICS_CONNECTIONS_MAX = 16, /* connections to the metrics: a scraper or two, and a person */
  DA_BLOB_MIN = 1500,              /* a longer value leaves its record: two records must share a leaf page */
  DA_IMAGE_AFTER = 50,             /* calls after which an execution that goes cold is imaged */
  DA_IMAGE_EVERY = 1000,           /* ... one that does not */
  DA_BLOB_PIECE = 4000,            /* one overflow page; longer runs of pages fragment the file */
  DA_VALUE_MAX = 16 << 20,         /* bytes of one encoded value */
  DA_DEPTH_MAX = 200,              /* nesting of one encoded value; the codec recurses that deep */
  DA_STEP_THREADS = 4,             /* default number of step threads */
  DA_STEP_STATES = 4,              /* Lua states a step thread keeps, one per bundle */
  DA_CODE_WAIT_MS = 30000,         /* a served group that lacks a function is given time to load it: a deploy */
  DA_ABROAD_MAX = 100000,          /* tasks that wait in memory for a worker of another process: some 20 MB */
  DA_GROUPS_MAX = 64,              /* groups one process serves */
  DA_DEATHS_MAX = 10,              /* deaths of the process in one step before its execution parks */
  DA_HISTORY_MAX = 256,            /* records looked at in one piece of what is dropped, so that it holds up no batch */
  DA_EVICTED_MAX = 16384,          /* evicted executions of which is known how far they had come */
  DA_STEP_MEMORY = 1 << 30,        /* bytes of one such state: a step that eats all memory must not end the process */
  DA_MESSAGES_MAX = 10000,         /* messages that wait in one channel: more means that nobody receives */
  DA_MESSAGE_MAX = 1 << 20,        /* bytes of one: a full channel must not fill the disk */
  DA_QUEUE_LIMIT_MAX = 100000,     /* permits of a semaphore; grants in one window, each of which is a row */
  DA_QUEUE_GRANTS_MAX = 256,       /* grants in one request, as DA_SWEEP_MAX; the rest falls due at once */
  DA_TRACEBACK_MAX = 4096,         /* bytes of a traceback in a record */
  DA_PROGRESS_NOTE_MAX = 100,      /* bytes of a step's note on its progress: the end of a line */
  DA_LIVE_KEYS_MAX = 64,           /* keys an execution may have published at a time: they are read as a whole */
  DA_LIVE_KEY_MAX = 64,            /* bytes of such a key: it stands in a key of the store, and in a line for people */
  DA_LIVE_VALUE_MAX = 4000,        /* bytes of its value: one overflow page, as DA_BLOB_PIECE; it is state, not data */
};

/* An unblock that nobody takes is kept this long: who waits asks again within minutes. */
#define DA_UNBLOCK_KEEP_MS ((int64_t)24 * 3600 * 1000)
/* ... and so often those are looked for that are too old: a look reads all that are kept. */
#define DA_UNBLOCK_WALK_MS ((int64_t)3600 * 1000)

#define DA_TIME_MAX ((int64_t)9007199254740991) /* 2^53 - 1 ms: "no deadline" on the wire */

#endif
