/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/unit/api/fixture.h"

#include <errno.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { SETTLE_TURNS = 40 };

static int listen_anywhere(void) {
        const struct sockaddr_un any = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        ck_assert_int_ge(fd, 0);
        /* No path: the kernel picks an abstract address (unix(7), autobind). */
        ck_assert_int_eq(bind(fd, (const struct sockaddr *)&any, sizeof(any.sun_family)), 0);
        ck_assert_int_eq(listen(fd, 64), 0);
        return fd;
}

Fixture *fixture_new(uint16_t token_limit) {
        static const HttpLimits limits = { .max_header_bytes = 16 * 1024,
                                           .max_body_bytes = 8 * 1024 * 1024,
                                           .max_connections = 128,
                                           .max_output_bytes = 1 << 30,
                                           .max_input_bytes = 1 << 26,
                                           .idle_timeout_s = 60,
                                           .request_timeout_s = 60,
                                           .reply_timeout_s = 60 };
        const ApiOptions options = { .token_limit = token_limit };
        Fixture *f = calloc(1, sizeof(*f));
        int fd;

        ck_assert_ptr_nonnull(f);
        /* As lib/http/http-server.h asks. */
        ck_assert(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
        virtual_env_init(&f->env, 7);
        ck_assert_int_eq(loop_new(&f->loop, &f->env.env), 0);
        ck_assert_int_eq(memory_store_new(&f->memory, f->loop), 0);
        ck_assert_int_eq(store_memory_new(&f->store, f->memory, f->loop), 0);
        ck_assert_int_eq(registry_new(&f->registry, f->store, f->loop, "/fleet/"), 0);
        ck_assert_int_eq(api_new(&f->api, f->registry, &options), 0);
        api_set_available(f->api, true);
        ck_assert_int_eq(
                http_server_new(&f->server, f->loop, "fleetd/9", &limits, api_handle, f->api), 0);
        fd = listen_anywhere();
        f->client_address_fd = dup(fd);
        ck_assert_int_eq(http_server_listen(f->server, fd), 0);
        return f;
}

static void on_api_closed(void *userdata) {
        ((Fixture *)userdata)->is_api_closed = true;
}

static void on_store_closed(Store *store, void *userdata) {
        (void)store;
        *(bool *)userdata = true;
}

void fixture_free(Fixture *f) {
        bool is_store_closed = false;

        http_server_free(f->server);
        api_close(f->api, on_api_closed, f);
        for (int i = 0; i < 1000 && !f->is_api_closed; i++)
                ck_assert_int_eq(loop_turn(f->loop, 0), 0);
        ck_assert(f->is_api_closed);
        store_close(f->store, on_store_closed, &is_store_closed);
        for (int i = 0; i < 1000 && !is_store_closed; i++)
                ck_assert_int_eq(loop_turn(f->loop, 0), 0);
        ck_assert(is_store_closed);
        registry_free(f->registry);
        store_free(f->store);
        memory_store_free(f->memory);
        loop_free(f->loop);
        close(f->client_address_fd);
        free(f);
}

static bool client_receive(Client *client) {
        char bytes[65536];
        ssize_t n;

        if (!client || client->is_closed)
                return false;
        n = recv(client->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return false;
        if (n <= 0) {
                client->is_closed = true;
                return true;
        }
        client->text = realloc(client->text, client->n_bytes + (size_t)n + 1);
        ck_assert_ptr_nonnull(client->text);
        memcpy(client->text + client->n_bytes, bytes, (size_t)n);
        client->n_bytes += (size_t)n;
        client->text[client->n_bytes] = '\0';
        return true;
}

void fixture_settle(Fixture *f, Client *client) {
        for (int n_idle = 0; n_idle < SETTLE_TURNS; n_idle++) {
                ck_assert_int_eq(loop_turn(f->loop, 0), 0);
                if (client_receive(client))
                        n_idle = 0;
        }
}

void fixture_advance(Fixture *f, Client *client, uint64_t us) {
        uint64_t end = f->env.now_us + us;

        fixture_settle(f, client);
        while (loop_next_due_us(f->loop) <= end) {
                if (loop_next_due_us(f->loop) > f->env.now_us)
                        f->env.now_us = loop_next_due_us(f->loop);
                fixture_settle(f, client);
        }
        f->env.now_us = end;
        fixture_settle(f, client);
}

Client client_open(Fixture *f) {
        struct sockaddr_un address = { 0 };
        socklen_t n_bytes = sizeof(address);
        Client client = { .text = calloc(1, 1) };

        client.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_ge(client.fd, 0);
        ck_assert_int_eq(getsockname(f->client_address_fd, (struct sockaddr *)&address, &n_bytes),
                         0);
        ck_assert_int_eq(connect(client.fd, (struct sockaddr *)&address, n_bytes), 0);
        return client;
}

void client_send(Fixture *f, Client *client, const char *text, size_t n_bytes) {
        while (n_bytes > 0) {
                ssize_t n = send(client->fd, text, n_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);

                if (n < 0 && errno == EPIPE)
                        return;
                ck_assert(n > 0 || errno == EAGAIN);
                if (n > 0) {
                        text += n;
                        n_bytes -= (size_t)n;
                }
                ck_assert_int_eq(loop_turn(f->loop, 0), 0);
        }
        /* The clock stands still until all has been read, as far as the server reads. */
        for (int i = 0, n_left; i < 1000 && ioctl(client->fd, SIOCOUTQ, &n_left) == 0 && n_left > 0;
             i++)
                ck_assert_int_eq(loop_turn(f->loop, 0), 0);
}

void client_close(Client *client) {
        if (client->fd >= 0)
                close(client->fd);
        free(client->text);
        *client = (Client){ .fd = -1 };
}

Reply request(Fixture *f, const char *method, const char *path, const char *headers,
              const char *body) {
        Client client = client_open(f);
        size_t n_body = body ? strlen(body) : 0;
        Reply reply = { 0 };
        char *text = NULL, *end;
        int n;

        n = asprintf(
                &text,
                "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n%s",
                method, path, headers ? headers : "", n_body, body ? body : "");
        ck_assert_int_gt(n, 0);
        client_send(f, &client, text, (size_t)n);
        free(text);
        for (int i = 0; i < 500 && !client.is_closed; i++) {
                fixture_settle(f, &client);
                if (!client.is_closed && loop_next_due_us(f->loop) != UINT64_MAX &&
                    loop_next_due_us(f->loop) > f->env.now_us)
                        f->env.now_us = loop_next_due_us(f->loop);
        }
        ck_assert_msg(client.is_closed, "no answer to %s %s", method, path);

        ck_assert_msg(sscanf(client.text, "HTTP/1.1 %d", &reply.status) == 1, "%s %s: \"%s\"",
                      method, path, client.text);
        end = strstr(client.text, "\r\n\r\n");
        ck_assert_ptr_nonnull(end);
        reply.body = strdup(end + 4);
        end[2] = '\0';
        reply.head = strdup(client.text);
        client_close(&client);
        return reply;
}

void reply_free(Reply *reply) {
        free(reply->head);
        free(reply->body);
        *reply = (Reply){ 0 };
}

void expect(Fixture *f, const char *method, const char *path, const char *body, int status,
            const char *expected) {
        Reply reply = request(f, method, path, body ? "Content-Type: application/json\r\n" : NULL,
                              body);

        ck_assert_msg(reply.status == status, "%s %s %.200s: %d %.500s, not %d", method, path,
                      body ? body : "", reply.status, reply.body, status);
        if (expected)
                ck_assert_msg(streq(reply.body, expected), "%s %s %s:\n%s\nnot\n%s", method, path,
                              body ? body : "", reply.body, expected);
        reply_free(&reply);
}

void put(Fixture *f, const char *key, const char *value) {
        ck_assert_int_eq(
                memory_store_write(f->memory, key, value ? store_bytes(value) : (StoreBytes){ 0 }),
                0);
}

char *get(Fixture *f, const char *key) {
        StoreBytes value;

        if (!memory_store_read(f->memory, key, &value))
                return NULL;
        return strndup(value.data, value.n_bytes);
}
