/* SPDX-License-Identifier: Apache-2.0 */

/* The wire format of protocol buffers, as far as it takes to step over fields
 * (https://protobuf.dev/programming-guides/encoding/). */

#include "lib/serve/serve-scan.h"

#include <errno.h>
#include <stdbool.h>

#include "lib/store/store-command.h"

/* The fields, see proto/served.proto. */
enum {
        TXN_COMPARE = 1,
        TXN_SUCCESS = 2,
        TXN_FAILURE = 3,
        OP_TXN = 4,
};

/* The wire types. */
enum {
        WIRE_VARINT = 0,
        WIRE_64_BITS = 1,
        WIRE_BYTES = 2,
        WIRE_32_BITS = 5,
};

/* What is left of a message. */
typedef struct Wire {
        const uint8_t *at;
        const uint8_t *end;
} Wire;

/* A field: its number, and what it holds if that is bytes. */
typedef struct WireField {
        uint64_t number;
        bool is_bytes;
        Wire bytes;
} WireField;

static int wire_varint(Wire *wire, uint64_t *ret_value) {
        uint64_t value = 0;

        for (unsigned shift = 0; shift < 64; shift += 7) {
                if (wire->at == wire->end)
                        return -EBADMSG;
                value |= (uint64_t)(*wire->at & 0x7f) << shift;
                if ((*wire->at++ & 0x80) == 0) {
                        *ret_value = value;
                        return 0;
                }
        }
        return -EBADMSG;
}

static int wire_skip(Wire *wire, uint64_t n_bytes) {
        if (n_bytes > (uint64_t)(wire->end - wire->at))
                return -EBADMSG;
        wire->at += n_bytes;
        return 0;
}

/* Takes the next field, of which there is one. */
static int wire_next(Wire *wire, WireField *ret_field) {
        uint64_t tag, value;
        int r = wire_varint(wire, &tag);

        if (r < 0)
                return r;

        *ret_field = (WireField){ .number = tag >> 3, .is_bytes = (tag & 7) == WIRE_BYTES };
        switch (tag & 7) {
        case WIRE_VARINT:
                return wire_varint(wire, &value);
        case WIRE_64_BITS:
                return wire_skip(wire, 8);
        case WIRE_32_BITS:
                return wire_skip(wire, 4);
        case WIRE_BYTES:
                r = wire_varint(wire, &value);
                if (r == 0) {
                        ret_field->bytes.at = wire->at;
                        r = wire_skip(wire, value);
                        ret_field->bytes.end = wire->at;
                }
                return r;
        default:
                return -EBADMSG; /* groups, which nobody uses, and what is not defined */
        }
}

static int count_entries(Wire txn, size_t *ret_n) {
        size_t n[TXN_FAILURE + 1] = { 0 };
        WireField field;

        while (txn.at < txn.end) {
                int r = wire_next(&txn, &field);

                if (r < 0)
                        return r;
                if (field.number >= TXN_COMPARE && field.number <= TXN_FAILURE)
                        n[field.number]++;
        }

        *ret_n = n[TXN_COMPARE];
        for (size_t i = TXN_SUCCESS; i <= TXN_FAILURE; i++)
                if (n[i] > *ret_n)
                        *ret_n = n[i];
        return 0;
}

static int scan_txn(Wire txn, size_t max_ops);

/* An operation may say twice what it is; then the last one holds, but all are decoded. */
static int scan_op(Wire op, size_t max_ops) {
        WireField field;
        int r = 0;

        while (r == 0 && op.at < op.end) {
                r = wire_next(&op, &field);
                if (r == 0 && field.number == OP_TXN && field.is_bytes)
                        r = max_ops > 0 ? scan_txn(field.bytes, max_ops) : STORE_E_TOO_MANY;
        }
        return r;
}

/* Goes as deep as there are operations allowed: each level takes one at least. */
static int scan_txn(Wire txn, size_t max_ops) {
        WireField field;
        size_t n;
        int r;

        r = count_entries(txn, &n);
        if (r == 0 && n > max_ops)
                r = STORE_E_TOO_MANY;
        while (r == 0 && txn.at < txn.end) {
                r = wire_next(&txn, &field);
                if (r == 0 && field.number > TXN_COMPARE && field.number <= TXN_FAILURE &&
                    field.is_bytes)
                        r = scan_op(field.bytes, max_ops - n);
        }
        return r;
}

int serve_scan_txn(const uint8_t *bytes, size_t n_bytes, size_t max_ops) {
        return scan_txn((Wire){ .at = bytes, .end = bytes + n_bytes }, max_ops);
}
