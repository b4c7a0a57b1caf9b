/* reach.h - the asking side: has a request answered, wherever the store is.
 *
 * If no process holds the store, it is opened here and the request answered by a service in this process; else the
 * request goes over the control socket to the process that holds it. If that one goes away in the middle, the request
 * is asked again from the start, here or there: every request is such that asking twice does what asking once does,
 * or says that it is not (`once`).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_REACH_H
#define DA_CLI_REACH_H

#include "cli.h"
#include "host.h"

/* The asker's ears. Called on the calling thread (here it is the loop thread). */
typedef struct cli_client {
  void (*row)(void *user, const cJSON *row); /* NULL: every row is kept in `rows` */
  void (*event)(void *user, const da_event *event, const cli_model *model);
  void (*tick)(void *user);    /* once a second while a process elsewhere answers; may be NULL */
  void (*refused)(void *user); /* before the words of a refusal are said. May be NULL */
  /* A process elsewhere answers: its id. May be NULL. */
  void (*elsewhere)(void *user, int64_t pid);
  /* The store was opened here: before the loop runs. With NULL: the answer is over, or its process is gone; the model
   * goes next. May be NULL. */
  void (*here)(void *user, cli_host *host);
  void *user;
  cJSON *rows; /* array; owned by the caller */
} cli_client;

typedef struct cli_ask {
  const cli_command *command;
  cJSON *json;       /* owned by the caller; the verb may be changed between two tries by its ears (`id`) */
  da_bundle *bundle; /* borrowed, or NULL */
  bool create;       /* make the store if there is none */
  bool worker;       /* to be answered by a process that runs scripts */
  bool drive;
  bool once; /* asking twice might do another thing: if the process that answers goes away, that is told */
} cli_ask;

/* CLI_EXIT_OK, or the code of a refusal, whose words have been said on stderr. */
int cli_reach(const cli_ask *ask, cli_client *client);

/* Absolute path of the store of this command; free() it. */
char *cli_store_place(const cli_command *command);
/* --warm, --step-threads and what else says how a worker is to be; loads its plugins. An exit code. */
int cli_read_sizes(const cli_command *command, cli_host_options *options);

#endif
