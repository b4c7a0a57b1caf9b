/* route.h - which of the server's doors a method and a path are for. Pure.
 *
 * Threads:  any.
 * To add a door: a kind here, a row in route.c, its handler in server.c.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_NET_ROUTE_H
#define DA_NET_ROUTE_H

#include "../base/arena.h"

typedef enum da_route_kind {
  DA_ROUTE_PROTOCOL, /* POST /: one request of the protocol */
  DA_ROUTE_HEALTH,   /* the process answers */
  DA_ROUTE_READY,    /* its store answers */
  DA_ROUTE_POLL,     /* /poll/{group}/{id}: the messages of a worker, as a stream */
  DA_ROUTE_METRICS,  /* on a listener of its own */
  DA_ROUTE_RETIRED,  /* a path of the interface that peers spoke before the protocol */
  DA_ROUTE_METHOD,   /* there is such a path, not with this method */
  DA_ROUTE_BROKEN,   /* a percent sign that begins nothing, or one that hides a NUL */
  DA_ROUTE_UNKNOWN
} da_route_kind;

typedef struct da_route {
  da_route_kind kind;
  const char *allow; /* of DA_ROUTE_METHOD: the methods there are */
  da_slice group;    /* of DA_ROUTE_POLL, decoded, in the arena or borrowed from path */
  da_slice id;
} da_route;

da_route da_route_find(da_slice method, da_slice path, da_arena *arena);
/* The same on the listener of the metrics. */
da_route da_route_find_metrics(da_slice method, da_slice path);

#endif
