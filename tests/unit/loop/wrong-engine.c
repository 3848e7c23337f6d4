/* SPDX-License-Identifier: Apache-2.0 */

/* A module as another version of this project would have it. */

#include "lib/loop/tls-engine.h"

extern const TlsEngine fleet_tls_engine;

const TlsEngine fleet_tls_engine = { .head.version = "0.0.0" };
