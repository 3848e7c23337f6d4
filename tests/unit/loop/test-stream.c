/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/loop/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "tests/unit/fault.h"

enum {
        LIMIT_US = 10 * US_PER_S, /* how long anything may take */
        LOOK_US = 50 * US_PER_MS,
        LARGE_BYTES = 8 * 1024 * 1024,
};

/* One end of a flow: a stream, what it told as letters (Connected, Readable (once in a row),
 * Writable, End), and what it received. */
typedef struct Peer Peer;
struct Peer {
        Stream *stream;
        Loop *loop;
        char text[32];
        Buf input;
        bool does_not_read; /* leaves the input where it is */
        char frees_on;      /* free the stream when this letter is told */
        void (*on_connected)(Peer *peer);
};

static void peer_note(Peer *peer, char letter) {
        size_t n = strlen(peer->text);

        if (letter == 'R' && n > 0 && peer->text[n - 1] == 'R')
                return;
        ck_assert_uint_lt(n, sizeof(peer->text) - 1);
        peer->text[n] = letter;
}

static void peer_read(Peer *peer) {
        const uint8_t *bytes;
        size_t n = stream_input(peer->stream, &bytes);

        ck_assert_uint_gt(n, 0);
        ck_assert_int_eq(buf_append(&peer->input, bytes, n), 0);
        stream_consume(peer->stream, n);
        ck_assert_uint_eq(stream_input(peer->stream, &bytes), 0);
}

static void on_stream(Stream *stream, StreamEvent event, void *userdata) {
        static const char letters[] = {
                [STREAM_CONNECTED] = 'C',
                [STREAM_READABLE] = 'R',
                [STREAM_WRITABLE] = 'W',
                [STREAM_CLOSED] = 'E',
        };
        Peer *peer = userdata;

        ck_assert_ptr_eq(stream, peer->stream);
        ck_assert_ptr_null(strchr(peer->text, 'E'));
        peer_note(peer, letters[event]);
        if (event == STREAM_READABLE && !peer->does_not_read)
                peer_read(peer);
        if (event == STREAM_CONNECTED && peer->on_connected)
                peer->on_connected(peer);
        if (letters[event] == peer->frees_on)
                peer->stream = stream_free(peer->stream);
}

static Peer peer_make(Loop *loop) {
        return (Peer){ .loop = loop, .input = buf_make((size_t)2 * LARGE_BYTES) };
}

static void peer_done(Peer *peer) {
        peer->stream = stream_free(peer->stream);
        buf_done(&peer->input);
}

static Loop *make_loop(void) {
        Loop *loop = NULL;

        ck_assert_int_eq(loop_new(&loop, env_system()), 0);
        return loop;
}

/* Turns until the peer has told this letter. */
static void await_letter(Loop *loop, const Peer *peer, char letter) {
        uint64_t limit_us = loop_now_us(loop) + LIMIT_US;

        while (!strchr(peer->text, letter)) {
                ck_assert_msg(loop_now_us(loop) < limit_us, "waited for %c, was told %s", letter,
                              peer->text);
                ck_assert_int_eq(loop_turn(loop, LOOK_US), 0);
        }
}

static void await_bytes(Loop *loop, const Peer *peer, size_t n_bytes) {
        uint64_t limit_us = loop_now_us(loop) + LIMIT_US;

        while (peer->input.n_bytes < n_bytes) {
                ck_assert_uint_lt(loop_now_us(loop), limit_us);
                ck_assert_int_eq(loop_turn(loop, LOOK_US), 0);
        }
        ck_assert_uint_eq(peer->input.n_bytes, n_bytes);
}

static void make_pair(int fds[2]) {
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

static void peer_take(Peer *peer, int fd) {
        ck_assert_int_eq(stream_from_fd(&peer->stream, peer->loop, fd, on_stream, peer), 0);
}

static char *make_pattern(size_t n_bytes) {
        char *bytes = malloc(n_bytes);

        for (size_t i = 0; i < n_bytes; i++)
                bytes[i] = (char)(i * 31 + i / 251);
        return bytes;
}

/* ---- over a socketpair */

/* Bytes go both ways; the first event is that it is connected; when one end is freed, the other one
 * ends without error. */
START_TEST(test_both_ways) {
        _cleanup_(loop_freep) Loop *loop = make_loop();
        _cleanup_(peer_done) Peer a = peer_make(loop), b = peer_make(loop);
        int fds[2];

        make_pair(fds);
        peer_take(&a, fds[0]);
        peer_take(&b, fds[1]);
        ck_assert_str_eq(a.text, "");
        ck_assert_int_eq(stream_write(a.stream, "hello", 5), 0);
        ck_assert_int_eq(stream_write(a.stream, " you", 4), 0);
        await_bytes(loop, &b, 9);
        ck_assert_mem_eq(b.input.data, "hello you", 9);
        ck_assert_int_eq(b.text[0], 'C');
        ck_assert_int_eq(a.text[0], 'C');

        ck_assert_int_eq(stream_write(b.stream, "too", 3), 0);
        await_bytes(loop, &a, 3);
        b.stream = stream_free(b.stream);
        await_letter(loop, &a, 'E');
        ck_assert_int_eq(stream_error(a.stream), 0);
        ck_assert_int_eq(stream_write(a.stream, "x", 1), -ENOTCONN);
}
END_TEST

/* What is not consumed stays, and more is added behind it. */
START_TEST(test_partial_consumption) {
        _cleanup_(loop_freep) Loop *loop = make_loop();
        _cleanup_(peer_done) Peer a = peer_make(loop);
        const uint8_t *bytes;
        int fds[2];

        make_pair(fds);
        a.does_not_read = true;
        peer_take(&a, fds[0]);
        ck_assert_int_eq(write(fds[1], "abcdef", 6), 6);
        await_letter(loop, &a, 'R');
        ck_assert_uint_eq(stream_input(a.stream, &bytes), 6);
        stream_consume(a.stream, 2);
        ck_assert_int_eq(write(fds[1], "gh", 2), 2);
        (void)close(fds[1]);
        await_letter(loop, &a, 'E');
        ck_assert_uint_eq(stream_input(a.stream, &bytes), 6);
        ck_assert_mem_eq(bytes, "cdefgh", 6);
}
END_TEST

/* Everything that the peer sent before it closed is told before the end is. */
START_TEST(test_input_before_the_end) {
        enum { N = 150000 };
        _cleanup_(loop_freep) Loop *loop = make_loop();
        _cleanup_(peer_done) Peer a = peer_make(loop);
        _cleanup_(freep) char *pattern = make_pattern(N);
        int fds[2];

        make_pair(fds);
        ck_assert_int_eq(write(fds[1], pattern, N), N);
        (void)close(fds[1]);
        peer_take(&a, fds[0]);
        await_letter(loop, &a, 'E');
        ck_assert_str_eq(a.text, "CRE");
        ck_assert_uint_eq(a.input.n_bytes, N);
        ck_assert_mem_eq(a.input.data, pattern, N);
}
END_TEST

/* The same while output is queued that the peer will never take: a final answer is not lost because
 * we were still talking. */
START_TEST(test_input_before_a_broken_end) {
        _cleanup_(loop_freep) Loop *loop = make_loop();
        _cleanup_(peer_done) Peer a = peer_make(loop);
        _cleanup_(freep) char *pattern = make_pattern(LARGE_BYTES);
        int fds[2];

        make_pair(fds);
        ck_assert_int_eq(write(fds[1], "answer", 6), 6);
        (void)close(fds[1]);
        peer_take(&a, fds[0]);
        ck_assert_int_eq(stream_write(a.stream, pattern, LARGE_BYTES), 0);
        await_letter(loop, &a, 'E');
        ck_assert_uint_eq(a.input.n_bytes, 6);
        ck_assert_mem_eq(a.input.data, "answer", 6);
}
END_TEST

typedef struct Maker {
        LoopDeferred deferred;
        Peer *peer;
        int fd;
} Maker;

static void maker_on_deferred(LoopDeferred *deferred) {
        Maker *maker = container_of(deferred, Maker, deferred);

        peer_take(maker->peer, maker->fd);
}

/* The first event is that it is connected, also when the stream is made by a callback and bytes are
 * waiting already. */
START_TEST(test_connected_comes_first) {
        _cleanup_(loop_freep) Loop *loop = make_loop();
        _cleanup_(peer_done) Peer a = peer_make(loop);
        Maker maker = { .deferred.fn = maker_on_deferred, .peer = &a };
        int fds[2];

        make_pair(fds);
        ck_assert_int_eq(write(fds[1], "x", 1), 1);
        maker.fd = fds[0];
        loop_defer(loop, &maker.deferred);
        await_letter(loop, &a, 'R');
        ck_assert_str_eq(a.text, "CR");
        (void)close(fds[1]);
}
END_TEST

static void maker_writes_on_deferred(LoopDeferred *deferred) {
        Maker *maker = container_of(deferred, Maker, deferred);

        maker_on_deferred(deferred);
        ck_assert_int_eq(stream_write(maker->peer->stream, "x", 1), 0);
}

/* Also when something is written before that was told, and leaves at the end of the same turn. */
START_TEST(test_connected_comes_before_writable) {
        _cleanup_(loop_freep) Loop *loop = make_loop();
        _cleanup_(peer_done) Peer a = peer_make(loop);
        Maker maker = { .deferred.fn = maker_writes_on_deferred, .peer = &a };
        int fds[2];

        make_pair(fds);
        maker.fd = fds[0];
        loop_defer(loop, &maker.deferred);
        await_letter(loop, &a, 'W');
        ck_assert_int_eq(loop_turn(loop, 0), 0);
        ck_assert_str_eq(a.text, "CW");
        (void)close(fds[1]);
}
END_TEST

/* Large output waits in the stream while the peer does not read, and arrives unharmed when it does;
 * then, once, it is told that all has been taken. */
START_TEST(test_back_pressure) {
        _cleanup_(loop_freep) Loop *loop = make_loop();
        _cleanup_(peer_done) Peer a = peer_make(loop), b = peer_make(loop);
        _cleanup_(freep) char *pattern = make_pattern(LARGE_BYTES);
        int fds[2];

        make_pair(fds);
        peer_take(&a, fds[0]);
        await_letter(loop, &a, 'C');
        ck_assert_int_eq(stream_write(a.stream, pattern, LARGE_BYTES), 0);
        for (int i = 0; i < 20; i++)
                ck_assert_int_eq(loop_turn(loop, 0), 0);
        ck_assert_uint_gt(stream_queued_bytes(a.stream), 0);
        ck_assert_uint_lt(stream_queued_bytes(a.stream), LARGE_BYTES);
        ck_assert_str_eq(a.text, "C");

        peer_take(&b, fds[1]);
        await_bytes(loop, &b, LARGE_BYTES);
        await_letter(loop, &a, 'W');
        ck_assert_mem_eq(b.input.data, pattern, LARGE_BYTES);
        ck_assert_uint_eq(stream_queued_bytes(a.stream), 0);
        ck_assert_str_eq(a.text, "CW");
}
END_TEST

/* Bulk input is taken in large pieces: a megabyte that is waiting takes few turns, not hundreds. */
START_TEST(test_bulk_input_takes_few_turns) {
        enum { N = 1024 * 1024 };
        _cleanup_(loop_freep) Loop *loop = make_loop();
        _cleanup_(peer_done) Peer a = peer_make(loop);
        _cleanup_(freep) char *pattern = make_pattern(N);
        int fds[2], size = 4 * N;
        unsigned n_turns = 0;
        ssize_t n_sent;

        make_pair(fds);
        (void)setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
        n_sent = send(fds[1], pattern, N, MSG_DONTWAIT);
        ck_assert_int_gt(n_sent, 100000);
        peer_take(&a, fds[0]);
        while (a.input.n_bytes < (size_t)n_sent) {
                ck_assert_int_eq(loop_turn(loop, LOOK_US), 0);
                n_turns++;
        }
        ck_assert_uint_le(n_turns, (unsigned)(n_sent / 65536 + 4));
        (void)close(fds[1]);
}
END_TEST

/* A stream may be freed from each of its callbacks. */
START_TEST(test_freed_in_callback) {
        static const char letters[] = "CRWE";

        for (size_t i = 0; letters[i]; i++) {
                _cleanup_(loop_freep) Loop *loop = make_loop();
                _cleanup_(peer_done) Peer a = peer_make(loop);
                int fds[2];

                make_pair(fds);
                a.frees_on = letters[i];
                peer_take(&a, fds[0]);
                ck_assert_int_eq(stream_write(a.stream, "x", 1), 0);
                if (letters[i] != 'W')
                        ck_assert_int_eq(write(fds[1], "x", 1), 1);
                if (letters[i] == 'E')
                        (void)shutdown(fds[1], SHUT_WR);
                await_letter(loop, &a, letters[i]);
                ck_assert_ptr_null(a.stream);
                for (int turns = 0; turns < 5; turns++)
                        ck_assert_int_eq(loop_turn(loop, 0), 0);
                ck_assert_int_eq(a.text[strlen(a.text) - 1], letters[i]);
                (void)close(fds[1]);
        }
}
END_TEST

/* A freed stream tells nothing, and closes its descriptor. */
START_TEST(test_freed_at_once) {
        _cleanup_(loop_freep) Loop *loop = make_loop();
        _cleanup_(peer_done) Peer a = peer_make(loop);
        char byte;
        int fds[2];

        make_pair(fds);
        peer_take(&a, fds[0]);
        ck_assert_int_eq(stream_write(a.stream, "x", 1), 0);
        a.stream = stream_free(a.stream);
        for (int i = 0; i < 5; i++)
                ck_assert_int_eq(loop_turn(loop, 0), 0);
        ck_assert_str_eq(a.text, "");
        ck_assert_int_eq(read(fds[1], &byte, 1), 0);
        (void)close(fds[1]);
}
END_TEST

/* ---- over TCP */

/* A listener on a free port of the loopback. */
static int make_listener(int backlog, uint16_t *ret_port) {
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(address);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        if (backlog >= 0)
                ck_assert_int_eq(listen(fd, backlog), 0);
        ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
        *ret_port = ntohs(address.sin_port);
        return fd;
}

static void peer_connect(Peer *peer, const char *host, uint16_t port, uint64_t timeout_us) {
        ck_assert_int_eq(stream_connect_tcp(&peer->stream, peer->loop, host, port, timeout_us,
                                            on_stream, peer),
                         0);
        ck_assert_str_eq(peer->text, "");
}

static void say_hello(Peer *peer) {
        ck_assert_int_eq(stream_write(peer->stream, "hello", 5), 0);
}

/* By address and by name: connects, sends what was queued before as well as what is written then,
 * and receives. */
START_TEST(test_tcp) {
        static const char *const hosts[] = { "127.0.0.1", "localhost" };

        for (size_t i = 0; i < ELEMENTSOF(hosts); i++) {
                _cleanup_(loop_freep) Loop *loop = make_loop();
                _cleanup_(peer_done) Peer a = peer_make(loop), b = peer_make(loop);
                uint16_t port;
                int listener = make_listener(5, &port);

                a.on_connected = say_hello;
                peer_connect(&a, hosts[i], port, LIMIT_US);
                ck_assert_int_eq(stream_write(a.stream, "early ", 6), 0);
                await_letter(loop, &a, 'C');
                peer_take(&b, accept4(listener, NULL, NULL, SOCK_CLOEXEC));
                await_bytes(loop, &b, 11);
                ck_assert_mem_eq(b.input.data, "early hello", 11);
                ck_assert_int_eq(stream_write(b.stream, "back", 4), 0);
                await_bytes(loop, &a, 4);
                (void)close(listener);
        }
}
END_TEST

/* A refused connection is an end with -ECONNREFUSED, told from the loop. */
START_TEST(test_tcp_refused) {
        _cleanup_(loop_freep) Loop *loop = make_loop();
        _cleanup_(peer_done) Peer a = peer_make(loop);
        uint16_t port;
        int bound = make_listener(-1, &port);

        peer_connect(&a, "127.0.0.1", port, LIMIT_US);
        await_letter(loop, &a, 'E');
        ck_assert_str_eq(a.text, "E");
        ck_assert_int_eq(stream_error(a.stream), -ECONNREFUSED);
        (void)close(bound);
}
END_TEST

/* Without a descriptor left a connection, to an address or a name, is an error that is told; the next
 * one has luck. */
START_TEST(test_out_of_descriptors) {
        static const char *const hosts[] = { "127.0.0.1", "localhost" };
        _cleanup_(loop_freep) Loop *loop = make_loop();
        struct rlimit limit, none;
        uint16_t port;
        int listener = make_listener(1, &port);

        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
        none = limit;
        none.rlim_cur = 0;
        for (size_t i = 0; i < ELEMENTSOF(hosts); i++) {
                _cleanup_(peer_done) Peer a = peer_make(loop);
                _cleanup_(peer_done) Peer b = peer_make(loop);
                int r;

                ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
                r = stream_connect_tcp(&a.stream, loop, hosts[i], port, LIMIT_US, on_stream, &a);
                if (r == 0)
                        await_letter(loop, &a, 'E');
                ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
                ck_assert_str_eq(a.text, r == 0 ? "E" : "");
                if (i == 0)
                        ck_assert_int_eq(stream_error(a.stream), -EMFILE);
                peer_connect(&b, hosts[i], port, LIMIT_US);
                await_letter(loop, &b, 'C');
        }
        (void)close(listener);
}
END_TEST

/* Fills a listener's queue, so that nobody else gets an answer. */
static void fill_queue(uint16_t port, int fds[4]) {
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_port = htons(port),
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

        for (int i = 0; i < 4; i++) {
                fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
                (void)connect(fds[i], (struct sockaddr *)&address, sizeof(address));
        }
}

/* A connection that is not answered ends with -ETIMEDOUT when its time is up, not before. */
START_TEST(test_tcp_time_out) {
        _cleanup_(loop_freep) Loop *loop = make_loop();
        _cleanup_(peer_done) Peer a = peer_make(loop);
        uint64_t start_us = loop_now_us(loop), took_us;
        uint16_t port;
        int listener = make_listener(0, &port), fds[4];

        fill_queue(port, fds);
        peer_connect(&a, "127.0.0.1", port, 200 * US_PER_MS);
        await_letter(loop, &a, 'E');
        took_us = loop_now_us(loop) - start_us;
        ck_assert_str_eq(a.text, "E");
        ck_assert_int_eq(stream_error(a.stream), -ETIMEDOUT);
        ck_assert_uint_ge(took_us, 200 * US_PER_MS);
        ck_assert_uint_lt(took_us, 3 * US_PER_S);
        for (int i = 0; i < 4; i++)
                (void)close(fds[i]);
        (void)close(listener);
}
END_TEST

/* A stream can be freed while it connects; nothing is told. */
START_TEST(test_freed_while_connecting) {
        _cleanup_(loop_freep) Loop *loop = make_loop();
        _cleanup_(peer_done) Peer a = peer_make(loop);
        uint16_t port;
        int listener = make_listener(0, &port), fds[4];

        fill_queue(port, fds);
        peer_connect(&a, "127.0.0.1", port, LIMIT_US);
        ck_assert_int_eq(loop_turn(loop, 0), 0);
        a.stream = stream_free(a.stream);
        ck_assert_int_eq(loop_turn(loop, 0), 0);
        ck_assert_str_eq(a.text, "");
        for (int i = 0; i < 4; i++)
                (void)close(fds[i]);
        (void)close(listener);
}
END_TEST

/* A name that does not exist is an end, as soon as that is known or when the time is up; freeing
 * the stream before that is fine. */
START_TEST(test_tcp_unknown_name) {
        _cleanup_(loop_freep) Loop *loop = make_loop();
        _cleanup_(peer_done) Peer a = peer_make(loop), b = peer_make(loop);

        peer_connect(&a, "no-such-host.invalid", 1, 300 * US_PER_MS);
        peer_connect(&b, "no-such-host.invalid", 1, 300 * US_PER_MS);
        ck_assert_int_eq(loop_turn(loop, 0), 0);
        b.stream = stream_free(b.stream);
        await_letter(loop, &a, 'E');
        ck_assert_str_eq(a.text, "E");
        ck_assert(stream_error(a.stream) == -EHOSTUNREACH || stream_error(a.stream) == -ETIMEDOUT);
        for (int i = 0; i < 5; i++)
                ck_assert_int_eq(loop_turn(loop, 0), 0);
}
END_TEST

/* Overwrites memory that was just freed, whatever its size was. */
static void overwrite_freed(void) {
        enum { N = 400, STEP = 16 };
        static char *blocks[N];

        for (size_t i = 0; i < N; i++) {
                blocks[i] = malloc((i + 1) * STEP);
                memset(blocks[i], 0xaa, (i + 1) * STEP);
        }
        for (size_t i = 0; i < N; i++)
                free(blocks[i]);
}

/* What resolves a name is used until it has ended, after the stream has gone, or its time is up. */
START_TEST(test_freed_while_resolving) {
        _cleanup_(loop_freep) Loop *loop = make_loop();

        for (int n_turns = 0; n_turns < 3; n_turns++) {
                _cleanup_(peer_done) Peer a = peer_make(loop);

                a.frees_on = 'E';
                peer_connect(&a, "no-such-host.invalid", 1, n_turns == 2 ? 1 : LIMIT_US);
                for (int i = 0; i < n_turns; i++)
                        ck_assert_int_eq(loop_turn(loop, US_PER_MS), 0);
                a.stream = stream_free(a.stream);
                overwrite_freed();
                for (int i = 0; i < 5; i++)
                        ck_assert_int_eq(loop_turn(loop, US_PER_MS), 0);
        }
}
END_TEST

/* Arguments that can never work are refused at once. */
START_TEST(test_bad_arguments) {
        _cleanup_(loop_freep) Loop *loop = make_loop();
        Stream *stream = NULL;
        char path[200] = { 0 };

        memset(path, 'a', sizeof(path) - 1);
        ck_assert_int_eq(
                stream_connect_tcp(&stream, loop, "127.0.0.1", 0, LIMIT_US, on_stream, NULL),
                -EINVAL);
        ck_assert_int_eq(stream_connect_unix(&stream, loop, path, LIMIT_US, on_stream, NULL),
                         -ENAMETOOLONG);
        ck_assert_ptr_null(stream);
        ck_assert_ptr_null(stream_free(NULL));
}
END_TEST

/* ---- over unix sockets */

/* A unix socket is connected to by its path; one that is not there is an end with -ENOENT. */
START_TEST(test_unix) {
        _cleanup_(loop_freep) Loop *loop = make_loop();
        _cleanup_(peer_done) Peer a = peer_make(loop), b = peer_make(loop),
                                  absent = peer_make(loop);
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        char folder[] = "/tmp/test-stream-XXXXXX";
        int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        ck_assert_ptr_nonnull(mkdtemp(folder));
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", folder);
        ck_assert_int_eq(stream_connect_unix(&absent.stream, loop, address.sun_path, LIMIT_US,
                                             on_stream, &absent),
                         0);
        await_letter(loop, &absent, 'E');
        ck_assert_int_eq(stream_error(absent.stream), -ENOENT);

        ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
        ck_assert_int_eq(listen(listener, 5), 0);
        ck_assert_int_eq(
                stream_connect_unix(&a.stream, loop, address.sun_path, LIMIT_US, on_stream, &a), 0);
        await_letter(loop, &a, 'C');
        peer_take(&b, accept4(listener, NULL, NULL, SOCK_CLOEXEC));
        ck_assert_int_eq(stream_write(a.stream, "x", 1), 0);
        await_bytes(loop, &b, 1);
        (void)close(listener);
        (void)unlink(address.sun_path);
        (void)rmdir(folder);
}
END_TEST

static int make_and_free(void *context) {
        Stream *stream = NULL;
        int fds[2], r;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
                return -errno;
        r = stream_from_fd(&stream, context, fds[0], on_stream, NULL);
        fault_assert(!!stream == (r == 0));
        (void)stream_free(stream);
        (void)close(fds[1]);
        return r;
}

/* Without memory, a stream is not made, and the descriptor is closed all the same. */
START_TEST(test_survives_oom) {
        _cleanup_(loop_freep) Loop *loop = make_loop();

        ck_assert_uint_ge(fault_sweep(make_and_free, loop), 1);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_both_ways,
                test_partial_consumption,
                test_input_before_the_end,
                test_input_before_a_broken_end,
                test_connected_comes_first,
                test_connected_comes_before_writable,
                test_back_pressure,
                test_bulk_input_takes_few_turns,
                test_freed_in_callback,
                test_freed_at_once,
                test_tcp,
                test_tcp_refused,
                test_out_of_descriptors,
                test_tcp_time_out,
                test_freed_while_connecting,
                test_tcp_unknown_name,
                test_freed_while_resolving,
                test_bad_arguments,
                test_unix,
                test_survives_oom,
        };

        /* As the programs do: a peer that is gone is an error code, not a signal. */
        (void)signal(SIGPIPE, SIG_IGN);
        return tests_run("stream", tests, ELEMENTSOF(tests));
}
