/* SPDX-License-Identifier: Apache-2.0 */

/* The certificate of an endpoint is verified always, against the authorities of --ca-file and no
 * others or, without it, against those of the system (contract section 2.5, as it was meant).
 */

#include "fleetctl/http-tls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/log.h"
#include "lib/base/macro.h"

enum { FILE_MAX_BYTES = 16 * 1024 * 1024 };

static bool is_given(const char *file) {
        return file && file[0] != '\0';
}

/* A file that a flag names, and what has to be in it: libcurl only says that something is wrong. */
typedef struct TlsFile {
        const char *flag;
        const char *variable;
        const char *marker; /* of PEM (RFC 7468) */
        const char *content;
        size_t offset; /* of its name in Options */
} TlsFile;

static const TlsFile tls_files[] = {
        { "--ca-file", "FLEETCTL_CA_FILE", "CERTIFICATE-----", "certificate",
          offsetof(Options, ca_file) },
        { "--cert-file", "FLEETCTL_CERT_FILE", "CERTIFICATE-----", "certificate",
          offsetof(Options, cert_file) },
        { "--key-file", "FLEETCTL_KEY_FILE", "PRIVATE KEY-----", "private key",
          offsetof(Options, key_file) },
};

static int check_file(const Options *options, const TlsFile *file, Diag *diag) {
        const char *path = *(const char *const *)((const char *)options + file->offset);
        _cleanup_(buf_done) Buf text = buf_make(FILE_MAX_BYTES);
        int fd, r;

        if (!is_given(path))
                return 0;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        r = fd < 0 ? -errno : buf_append_fd(&text, fd);
        if (fd >= 0)
                (void)close(fd);
        if (r < 0)
                return diag_set(diag, -EINVAL, "unable to read %s: %s; check %s or %s", path,
                                r == -ENOBUFS ? "it is too large" : strerror(-r), file->flag,
                                file->variable);
        if (text.n_bytes == 0 ||
            !memmem(text.data, text.n_bytes, file->marker, strlen(file->marker)))
                return diag_set(diag, -EINVAL, "%s holds no %s in PEM form; check %s or %s", path,
                                file->content, file->flag, file->variable);
        if (memmem(text.data, text.n_bytes, "ENCRYPTED", strlen("ENCRYPTED")))
                return diag_set(diag, -EINVAL,
                                "%s has a pass phrase, which fleetctl does not ask for; check %s "
                                "or %s",
                                path, file->flag, file->variable);
        return 0;
}

int http_tls_check(const Options *options, const Endpoint *endpoint, Diag *diag) {
        int r = 0;

        if (!endpoint->is_tls) {
                if (!endpoint->socket_path &&
                    (is_given(options->ca_file) || is_given(options->cert_file) ||
                     is_given(options->key_file)))
                        log_line(LOG_WARNING,
                                 "%s is not encrypted: --ca-file, --cert-file and --key-file count "
                                 "for https:// only",
                                 endpoint->text);
                return 0;
        }

        if (is_given(options->cert_file) != is_given(options->key_file))
                return diag_set(diag, -EINVAL,
                                "--cert-file and --key-file go together, and %s is missing",
                                is_given(options->cert_file) ? "--key-file" : "--cert-file");

        for (size_t i = 0; r == 0 && i < ELEMENTSOF(tls_files); i++)
                r = check_file(options, &tls_files[i], diag);
        return r;
}

void http_tls_apply(CURL *easy, const Options *options) {
        (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
        (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
        (void)curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);

        if (is_given(options->ca_file)) {
                (void)curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_file);
                (void)curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
        }
        if (is_given(options->cert_file)) {
                (void)curl_easy_setopt(easy, CURLOPT_SSLCERT, options->cert_file);
                (void)curl_easy_setopt(easy, CURLOPT_SSLKEY, options->key_file);
        }
}
