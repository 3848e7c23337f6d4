/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A real etcd of one member for a test: on free ports of the loopback, with a data folder of its
 * own, ended by its pid; plain, or one that wants client certificates, or a user besides. Or the
 * built-in store in its place, served by a process of its own. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What it asks of its clients. */
typedef enum EtcdGuard {
        ETCD_OPEN,
        ETCD_SERVED,       /* nothing; and it is the built-in store */
        ETCD_SERVED_LONG,  /* the same, with a long history */
        ETCD_CERTIFICATES, /* TLS, and a client certificate */
        ETCD_USERS, /* that, and a user; a token lasts for ETCD_TOKEN_S, whether it is used or not */
} EtcdGuard;

/* The user of an etcd that has users, who may read and write what begins with "/case-". */
#define ETCD_USER     "fleet"
#define ETCD_PASSWORD "a secret"

/* etcd counts whole seconds, so one that is to last for a second may last for a moment. */
enum { ETCD_TOKEN_S = 2 };

/* The process. */
typedef struct EtcdProcess {
        pid_t pid;            /* 0 while it is not running */
        uint16_t client_port; /* kept over restarts */
        uint16_t peer_port;   /* kept over restarts */
        char folder[64];      /* data and log; removed by etcd_process_done() */
        char endpoint[64];    /* http://127.0.0.1:PORT, or https:// */
        EtcdGuard guard;
        char ca[96];   /* with certificates: whom to trust, */
        char cert[96]; /* and what to show, */
        char key[96];  /* and its key */
} EtcdProcess;

/* Start one and wait until it takes connections. Returns 0, or -1 after a message on stderr that
 * says why. */
int etcd_process_start(EtcdProcess *etcd, EtcdGuard guard);

/* Start it again after etcd_process_kill(), with the same data and ports; waits until it takes
 * connections. Aborts when that fails. */
void etcd_process_restart(EtcdProcess *etcd);

/* End it at once (SIGKILL). Does nothing when it is not running. */
void etcd_process_kill(EtcdProcess *etcd);

/* Stop it where it is, and let it go on. */
void etcd_process_freeze(EtcdProcess *etcd);
void etcd_process_thaw(EtcdProcess *etcd);

/* Compact its history, with etcdctl. Aborts when that fails. */
void etcd_process_compact(EtcdProcess *etcd, int64_t revision);

/* End it and remove its folder. */
void etcd_process_done(EtcdProcess *etcd);
