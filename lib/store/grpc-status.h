/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How a gRPC call ends: the codes of gRPC (doc/statuscodes.md of grpc/grpc) and the text forms
 * of the headers about them. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* gRPC's status codes. */
typedef enum GrpcCode {
        GRPC_OK = 0,
        GRPC_CANCELLED = 1,
        GRPC_UNKNOWN = 2,
        GRPC_INVALID_ARGUMENT = 3,
        GRPC_DEADLINE_EXCEEDED = 4,
        GRPC_NOT_FOUND = 5,
        GRPC_ALREADY_EXISTS = 6,
        GRPC_PERMISSION_DENIED = 7,
        GRPC_RESOURCE_EXHAUSTED = 8,
        GRPC_FAILED_PRECONDITION = 9,
        GRPC_ABORTED = 10,
        GRPC_OUT_OF_RANGE = 11,
        GRPC_UNIMPLEMENTED = 12,
        GRPC_INTERNAL = 13,
        GRPC_UNAVAILABLE = 14,
        GRPC_DATA_LOSS = 15,
        GRPC_UNAUTHENTICATED = 16,
} GrpcCode;

/* The end of a call. */
typedef struct GrpcStatus {
        GrpcCode code;
        const char *message; /* never NULL; for people; borrowed until the callback returns */
        bool is_local;       /* made by this side: the server has not said how the call ended */
        bool may_have_run;   /* all bytes of the request may have reached the server */
} GrpcStatus;

enum {
        GRPC_STATUS_MESSAGE_MAX = 512, /* longer grpc-message values are cut */
        GRPC_STATUS_MESSAGE_TEXT_BYTES = 3 * GRPC_STATUS_MESSAGE_MAX + 1, /* encoded, with NUL */
        GRPC_TIMEOUT_TEXT_BYTES = 12, /* room for a grpc-timeout value with its NUL */
};

/* Read a grpc-status header value: a decimal code. What is not a known code is GRPC_UNKNOWN. */
GrpcCode grpc_code_from_text(const uint8_t *text, size_t n_bytes);

/* What a reply with this HTTP status and without a grpc-status means
 * (doc/http-grpc-status-mapping.md of grpc/grpc). */
GrpcCode grpc_code_from_http_status(int http_status);

/* Decode a grpc-message header value (percent-encoding), cut at GRPC_STATUS_MESSAGE_MAX. What is
 * not valid encoding is kept as it is; control characters become spaces. The caller frees it;
 * NULL on out of memory. */
char *grpc_message_decode(const uint8_t *text, size_t n_bytes);

/* Write a grpc-message header value (percent-encoding), cut at GRPC_STATUS_MESSAGE_MAX characters
 * of `text`. */
void grpc_message_encode(const char *text, char ret_text[GRPC_STATUS_MESSAGE_TEXT_BYTES]);

/* Write a grpc-timeout header value for the time left, in milliseconds, at least 1 and at most
 * 99999999 ms. */
void grpc_timeout_format(uint64_t timeout_us, char ret_text[GRPC_TIMEOUT_TEXT_BYTES]);

/* Read a grpc-timeout header value: at most 8 digits and a unit. Returns 0, or -EINVAL for what is
 * none. */
int grpc_timeout_parse(const uint8_t *text, size_t n_bytes, uint64_t *ret_timeout_us);
