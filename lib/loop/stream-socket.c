/* SPDX-License-Identifier: Apache-2.0 */

/* Streams over sockets: the plain implementation of the stream seam.
 *
 * A stream is a non-blocking descriptor with two evbuffers. It goes through RESOLVING (names only,
 * by evdns, which reads /etc/hosts and /etc/resolv.conf), CONNECTING, OPEN and CLOSED; every event
 * is told from the loop, by a descriptor's or timer's callback or by a deferred call, never inside
 * the function that caused it. A connection that breaks while there is input left is told as
 * readable first.
 *
 * What is written during a turn goes out together at its end, without asking the kernel first
 * whether there is room: only what it does not take is watched for.
 *
 * The owner may free the stream from any of its callbacks: nothing here touches the object after
 * calling out, except where `is_alive` says that it may.
 */

#include "lib/loop/stream.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/dns.h>
#include <event2/util.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/loop/stream-backend.h"

enum {
        STREAM_READ_MIN_BYTES = 4 * 1024,
        STREAM_READ_MAX_BYTES = 256 * 1024, /* per turn, so that no busy peer starves the others */
};

typedef struct SocketStream SocketStream;

/* A name on its way to an address. libevent goes on with a look-up that is given up until it has told
 * its end, from the loop: so long its resolver must live, and longer than the stream does. */
typedef struct Lookup {
        Loop *loop;                                /* borrowed */
        struct evdns_base *dns;                    /* owned */
        struct evdns_getaddrinfo_request *request; /* libevent's */
        SocketStream *stream;  /* borrowed; NULL: nobody waits for it any more */
        LoopDeferred deferred; /* frees it, after its end */
} Lookup;

/* A socket's stream. */
struct SocketStream {
        Stream head; /* first: the front-end's part */
        Loop *loop;  /* borrowed */
        StreamFn fn;
        void *userdata;
        LoopIo io;
        LoopTimer timer; /* bounds resolving and connecting */
        LoopHook flush; /* sends what was written, at the end of the turn; registered while there is
                           something */
        LoopDeferred deferred;   /* tells the first event, or the end, from the loop */
        Lookup *lookup;          /* while resolving; or NULL */
        struct evbuffer *input;  /* owned */
        struct evbuffer *output; /* owned */
        bool *is_alive;  /* set to false when the stream is freed while one of its callbacks runs */
        int fd;          /* owned, or -1 */
        int error;       /* negative errno, or 0 */
        bool is_told;    /* STREAM_CONNECTED was told */
        int write_error; /* why, as a negative errno */
        bool is_write_broken; /* nothing can be sent any more; what the peer had sent is still read
                               */
        uint16_t port;
        enum {
                STREAM_RESOLVING,
                STREAM_CONNECTING,
                STREAM_OPEN,
                STREAM_ENDED,
        } state;
};

static SocketStream *socket_of(const Stream *stream) {
        return container_of(stream, SocketStream, head);
}

static void stream_give_up_lookup(SocketStream *stream) {
        Lookup *lookup = TAKE(stream->lookup);

        if (!lookup)
                return;
        lookup->stream = NULL;
        evdns_getaddrinfo_cancel(lookup->request);
}

static SocketStream *socket_free(SocketStream *stream) {
        if (!stream)
                return NULL;

        if (stream->is_alive)
                *stream->is_alive = false;
        timer_clear(&stream->timer);
        loop_defer_cancel(&stream->deferred);
        loop_hook_remove(&stream->flush);
        loop_io_stop(&stream->io);
        stream_give_up_lookup(stream);
        if (stream->fd >= 0)
                (void)close(stream->fd);
        if (stream->input)
                evbuffer_free(stream->input);
        if (stream->output)
                evbuffer_free(stream->output);
        free(stream);
        return NULL;
}
DEFINE_CLEANUP(SocketStream, socket_free)

static void socket_free_head(Stream *head) {
        (void)socket_free(socket_of(head));
}

/* Tells an event. Returns whether the stream still exists. */
static bool stream_tell(SocketStream *stream, StreamEvent event) {
        bool is_alive = true;

        stream->is_alive = &is_alive;
        stream->fn(&stream->head, event, stream->userdata);
        if (is_alive)
                stream->is_alive = NULL;
        return is_alive;
}

/* Returns whether the stream still exists and is open. */
static bool stream_tell_connected(SocketStream *stream) {
        stream->is_told = true;
        return stream_tell(stream, STREAM_CONNECTED) && stream->state == STREAM_OPEN;
}

static void stream_end(SocketStream *stream, int error) {
        stream->error = error;
        stream->state = STREAM_ENDED;
        timer_clear(&stream->timer);
        loop_defer_cancel(&stream->deferred);
        loop_hook_remove(&stream->flush);
        loop_io_stop(&stream->io);
        (void)stream_tell(stream, STREAM_CLOSED);
}

static void stream_on_deferred(LoopDeferred *deferred) {
        SocketStream *stream = container_of(deferred, SocketStream, deferred);

        if (stream->error < 0)
                stream_end(stream, stream->error);
        else if (stream->state == STREAM_OPEN && !stream->is_told)
                (void)stream_tell_connected(stream);
}

/* Ends the stream in the next turn: for errors found while the owner is calling. */
static void stream_fail_later(SocketStream *stream, int error) {
        stream->error = error;
        loop_defer(stream->loop, &stream->deferred);
}

static void stream_on_timer(LoopTimer *timer) {
        SocketStream *stream = container_of(timer, SocketStream, timer);

        stream_give_up_lookup(stream);
        stream_end(stream, -ETIMEDOUT);
}

static int stream_watch(SocketStream *stream) {
        unsigned events = LOOP_READ;

        if (stream->state == STREAM_CONNECTING)
                events = LOOP_WRITE;
        else if (evbuffer_get_length(stream->output) > 0 && !stream->is_write_broken)
                events |= LOOP_WRITE;
        return loop_io_watch(stream->loop, &stream->io, stream->fd, events);
}

/* Returns whether the stream still exists and is open. */
static bool stream_on_connected(SocketStream *stream) {
        socklen_t size = sizeof(int);
        int error = 0;

        if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
                error = errno;
        if (error == 0) {
                timer_clear(&stream->timer);
                stream->state = STREAM_OPEN;
                error = -stream_watch(stream);
        }
        if (error != 0) {
                stream_end(stream, -error);
                return false;
        }

        return stream_tell_connected(stream);
}

static bool stream_on_writable(SocketStream *stream) {
        if (evbuffer_get_length(stream->output) == 0 || stream->is_write_broken)
                return true;

        /* A final answer may be waiting behind the broken end: reading finds it, and then the end.
         */
        if (evbuffer_write(stream->output, stream->fd) < 0 && errno != EAGAIN && errno != EINTR) {
                stream->write_error = -errno;
                stream->is_write_broken = true;
        }

        if (stream_watch(stream) < 0) {
                stream_end(stream, -ENOMEM);
                return false;
        }

        return evbuffer_get_length(stream->output) > 0 ||
               (stream_tell(stream, STREAM_WRITABLE) && stream->state == STREAM_OPEN);
}

/* Reads what is there, at most STREAM_READ_MAX_BYTES: evbuffer_read() of libevent 2.1 takes 4 kB at
 * a time. Returns as readv(2). */
static ssize_t stream_read(SocketStream *stream) {
        struct evbuffer_iovec room;
        int n_waiting = 0;
        ssize_t n;

        if (ioctl(stream->fd, FIONREAD, &n_waiting) < 0 || n_waiting < STREAM_READ_MIN_BYTES)
                n_waiting = STREAM_READ_MIN_BYTES;
        if (n_waiting > STREAM_READ_MAX_BYTES)
                n_waiting = STREAM_READ_MAX_BYTES;

        if (evbuffer_reserve_space(stream->input, n_waiting, &room, 1) < 1) {
                errno = ENOMEM;
                return -1;
        }

        n = read(stream->fd, room.iov_base,
                 room.iov_len < STREAM_READ_MAX_BYTES ? room.iov_len : STREAM_READ_MAX_BYTES);
        room.iov_len = n > 0 ? (size_t)n : 0;
        (void)evbuffer_commit_space(stream->input, &room, 1);
        return n;
}

static void stream_on_readable(SocketStream *stream) {
        ssize_t n = stream_read(stream);

        if (n > 0)
                (void)stream_tell(stream, STREAM_READABLE);
        else if (n == 0)
                stream_end(stream, stream->write_error);
        else if (errno != EAGAIN && errno != EINTR)
                stream_end(stream, -errno);
}

static void stream_on_io(LoopIo *io, unsigned events) {
        SocketStream *stream = container_of(io, SocketStream, io);

        if (stream->state == STREAM_CONNECTING) {
                if (stream_on_connected(stream))
                        (void)stream_on_writable(stream);
                return;
        }

        if (!stream->is_told && !stream_tell_connected(stream))
                return;
        if ((events & LOOP_WRITE) && !stream_on_writable(stream))
                return;
        if ((events & LOOP_READ) && stream->state == STREAM_OPEN)
                stream_on_readable(stream);
}

static void stream_on_flush(LoopHook *hook) {
        SocketStream *stream = container_of(hook, SocketStream, flush);

        loop_hook_remove(hook);
        if (stream->state == STREAM_OPEN && (stream->is_told || stream_tell_connected(stream)))
                (void)stream_on_writable(stream);
}

/* The operations of the seam. */

static size_t socket_input(Stream *head, const uint8_t **ret_bytes) {
        SocketStream *stream = socket_of(head);

        *ret_bytes = evbuffer_pullup(stream->input, -1);
        return *ret_bytes ? evbuffer_get_length(stream->input) : 0;
}

static void socket_consume(Stream *head, size_t n_bytes) {
        (void)evbuffer_drain(socket_of(head)->input, n_bytes);
}

static int socket_write(Stream *head, const void *bytes, size_t n_bytes) {
        SocketStream *stream = socket_of(head);

        if (stream->state == STREAM_ENDED || stream->error < 0 || stream->is_write_broken)
                return -ENOTCONN;
        if (evbuffer_add(stream->output, bytes, n_bytes) < 0)
                return -ENOMEM;

        if (stream->state == STREAM_OPEN && !(stream->io.events & LOOP_WRITE) &&
            !list_node_is_linked(&stream->flush.node))
                loop_hook_add_last(stream->loop, &stream->flush);
        return 0;
}

static void socket_push(Stream *head) {
        SocketStream *stream = socket_of(head);

        if (stream->state == STREAM_OPEN && !stream->is_write_broken)
                (void)evbuffer_write(stream->output, stream->fd);
}

static size_t socket_queued_bytes(const Stream *head) {
        return evbuffer_get_length(socket_of(head)->output);
}

static int socket_error(const Stream *head) {
        return socket_of(head)->error;
}

static const StreamVtable socket_vtable = {
        .free = socket_free_head,
        .input = socket_input,
        .consume = socket_consume,
        .write = socket_write,
        .push = socket_push,
        .queued_bytes = socket_queued_bytes,
        .error = socket_error,
};

/* Making one. */

static int socket_new(SocketStream **ret_stream, Loop *loop, StreamFn fn, void *userdata) {
        _cleanup_(socket_freep) SocketStream *stream = NULL;

        assert(fn);

        stream = calloc(1, sizeof(*stream));
        if (!stream)
                return -ENOMEM;

        *stream = (SocketStream){
                .head.vtable = &socket_vtable,
                .loop = loop,
                .fn = fn,
                .userdata = userdata,
                .io.fn = stream_on_io,
                .timer.fn = stream_on_timer,
                .flush.prepare = stream_on_flush,
                .deferred.fn = stream_on_deferred,
                .fd = -1,
        };
        stream->input = evbuffer_new();
        stream->output = evbuffer_new();
        if (!stream->input || !stream->output)
                return -ENOMEM;

        *ret_stream = TAKE(stream);
        return 0;
}

/* Begins to connect to an address; a failure to do so becomes the stream's end. */
static void stream_connect(SocketStream *stream, const struct sockaddr *address, socklen_t size) {
        int one = 1;

        stream->state = STREAM_CONNECTING;
        stream->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (stream->fd < 0) {
                stream_fail_later(stream, -errno);
                return;
        }

        /* Small requests must not wait for the acknowledgement of the ones before (tcp(7)). Unix
         * sockets have no such option. */
        if (address->sa_family != AF_UNIX)
                (void)setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));

        if (connect(stream->fd, address, size) < 0 && errno != EINPROGRESS)
                stream_fail_later(stream, -errno);
        else if (stream_watch(stream) < 0)
                stream_fail_later(stream, -ENOMEM);
}

static void lookup_free(Lookup *lookup) {
        if (lookup->dns)
                evdns_base_free(lookup->dns, 0);
        free(lookup);
}

static void lookup_on_deferred(LoopDeferred *deferred) {
        lookup_free(container_of(deferred, Lookup, deferred));
}

static void lookup_on_resolved(int result, struct evutil_addrinfo *addresses, void *userdata) {
        Lookup *lookup = userdata;
        SocketStream *stream = TAKE(lookup->stream);

        loop_defer(lookup->loop, &lookup->deferred);
        if (stream) {
                stream->lookup = NULL;
                if (result != 0 || !addresses)
                        stream_fail_later(stream, -EHOSTUNREACH);
                else
                        stream_connect(stream, addresses->ai_addr,
                                       (socklen_t)addresses->ai_addrlen);
        }
        if (addresses)
                evutil_freeaddrinfo(addresses);
}

static struct evdns_base *make_resolver(Loop *loop) {
        struct event_base *base = loop_event_base(loop);
        struct evdns_base *dns = evdns_base_new(base, EVDNS_BASE_INITIALIZE_NAMESERVERS |
                                                              EVDNS_BASE_DISABLE_WHEN_INACTIVE);

        if (dns)
                return dns;

        /* No resolv.conf: names from the hosts file still work. */
        dns = evdns_base_new(base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
        if (dns)
                (void)evdns_base_load_hosts(dns, "/etc/hosts");
        return dns;
}

static int stream_resolve(SocketStream *stream, const char *host) {
        struct evutil_addrinfo hints = {
                .ai_family = AF_UNSPEC,
                .ai_socktype = SOCK_STREAM,
                .ai_protocol = IPPROTO_TCP,
                .ai_flags = EVUTIL_AI_ADDRCONFIG,
        };
        Lookup *lookup = calloc(1, sizeof(*lookup));
        struct evdns_getaddrinfo_request *request;
        char port[sizeof("65535")];

        if (!lookup)
                return -ENOMEM;
        lookup->loop = stream->loop;
        lookup->stream = stream;
        lookup->deferred.fn = lookup_on_deferred;
        lookup->dns = make_resolver(stream->loop);
        if (!lookup->dns) {
                lookup_free(lookup);
                return -ENOMEM;
        }

        (void)snprintf(port, sizeof(port), "%u", stream->port);
        stream->state = STREAM_RESOLVING;
        stream->lookup = lookup;
        request = evdns_getaddrinfo(lookup->dns, host, port, &hints, lookup_on_resolved, lookup);
        /* Where the hosts file had it, the end has been told. */
        if (request)
                lookup->request = request;
        return 0;
}

int stream_connect_tcp(Stream **ret_stream, Loop *loop, const char *host, uint16_t port,
                       uint64_t timeout_us, StreamFn fn, void *userdata) {
        _cleanup_(socket_freep) SocketStream *stream = NULL;
        struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
        struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
        int r;

        if (port == 0)
                return -EINVAL;

        r = socket_new(&stream, loop, fn, userdata);
        if (r < 0)
                return r;
        timer_set_in(loop, &stream->timer, timeout_us);
        stream->port = port;
        if (inet_pton(AF_INET, host, &v4.sin_addr) == 1)
                stream_connect(stream, (const struct sockaddr *)&v4, sizeof(v4));
        else if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1)
                stream_connect(stream, (const struct sockaddr *)&v6, sizeof(v6));
        else
                r = stream_resolve(stream, host);
        if (r < 0)
                return r;

        *ret_stream = &TAKE(stream)->head;
        return 0;
}

int stream_connect_unix(Stream **ret_stream, Loop *loop, const char *path, uint64_t timeout_us,
                        StreamFn fn, void *userdata) {
        _cleanup_(socket_freep) SocketStream *stream = NULL;
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int r;

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;

        r = socket_new(&stream, loop, fn, userdata);
        if (r < 0)
                return r;
        timer_set_in(loop, &stream->timer, timeout_us);
        memcpy(address.sun_path, path, strlen(path) + 1);
        stream_connect(stream, (const struct sockaddr *)&address, sizeof(address));
        *ret_stream = &TAKE(stream)->head;
        return 0;
}

int stream_from_fd(Stream **ret_stream, Loop *loop, int fd, StreamFn fn, void *userdata) {
        _cleanup_(socket_freep) SocketStream *stream = NULL;
        int r;

        r = socket_new(&stream, loop, fn, userdata);
        if (r < 0) {
                (void)close(fd);
                return r;
        }

        stream->fd = fd;
        stream->state = STREAM_OPEN;
        if (evutil_make_socket_nonblocking(fd) < 0)
                return -EINVAL;
        r = stream_watch(stream);
        if (r < 0)
                return r;

        loop_defer(loop, &stream->deferred);
        *ret_stream = &TAKE(stream)->head;
        return 0;
}
