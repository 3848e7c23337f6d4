/* SPDX-License-Identifier: Apache-2.0 */

/* Where to listen. */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>

#include "lib/serve/serve.h"

/* Reads a port, which is all of the text. Returns 0 for none. */
static uint16_t read_port(const char *text) {
        unsigned long port = 0;

        if (!*text || strlen(text) > 5 || text[strspn(text, "0123456789")])
                return 0;
        port = strtoul(text, NULL, 10);
        return port <= UINT16_MAX ? (uint16_t)port : 0;
}

static bool is_loopback(const char *host) {
        struct in6_addr six;
        struct in_addr four;

        if (inet_pton(AF_INET, host, &four) == 1)
                return ntohl(four.s_addr) >> 24 == IN_LOOPBACKNET;
        return inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

static bool is_address(const char *host, bool is_bracketed) {
        unsigned char bytes[sizeof(struct in6_addr)];

        return inet_pton(is_bracketed ? AF_INET6 : AF_INET, host, bytes) == 1;
}

int serve_address_parse(const char *text, ServeAddress *ret_address, Diag *diag) {
        const char *colon = strrchr(text, ':');
        const char *port = colon ? colon + 1 : text;
        const char *host = text;
        size_t n_host = colon ? (size_t)(colon - text) : 0;
        bool is_bracketed = n_host > 2 && host[0] == '[' && host[n_host - 1] == ']';
        ServeAddress address = { .port = read_port(port) };

        if (is_bracketed) {
                host++;
                n_host -= 2;
        }
        if (n_host == 0) {
                host = "127.0.0.1";
                n_host = strlen(host);
        }
        if (n_host < sizeof(address.host))
                (void)snprintf(address.host, sizeof(address.host), "%.*s", (int)n_host, host);
        if (address.port == 0 || !is_address(address.host, is_bracketed))
                return diag_set(diag, -EINVAL,
                                "\"%s\" is no address to listen on; write ADDRESS:PORT with the "
                                "address in digits, or a port alone for the loopback",
                                text);

        address.is_loopback = is_loopback(address.host);
        *ret_address = address;
        return 0;
}
