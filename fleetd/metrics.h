/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The numbers of the daemon's parts, besides those that the API knows by itself, in the text format
 * of Prometheus 0.0.4 (contract section 9). */

#include "agent/agent.h"
#include "engine/engine.h"
#include "lib/base/buf.h"
#include "lib/http/http-server.h"

/* Where the numbers come from; all borrowed. */
typedef struct MetricsSources {
        const Agent *agent;
        const Engine *engine;
        const HttpServer *http;
        uint64_t started_us; /* env_wall_us() when the daemon was started */
} MetricsSources;

/* Append all families. Errors as buf_append(). */
int daemon_metrics_append(const MetricsSources *sources, Buf *out);
