/* SPDX-License-Identifier: Apache-2.0 */

/* Reading PEM files: each is read whole, in one go, so that a file that is replaced meanwhile is
 * either the old one or the new one. What is not a regular file is refused before it can block.
 */

#include "lib/tls/tls-files.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/macro.h"

enum { FILE_MAX_BYTES = 1024 * 1024 };

/* A file in memory. */
typedef struct PemFile {
        char *text; /* owned */
        size_t n_bytes;
} PemFile;

static void pem_file_done(PemFile *file) {
        if (file->text)
                explicit_bzero(file->text, file->n_bytes);
        free(file->text);
}

static void bio_freep(BIO **bio) {
        BIO_free(*bio);
}

static void x509_freep(X509 **certificate) {
        X509_free(*certificate);
}

static void key_freep(EVP_PKEY **key) {
        EVP_PKEY_free(*key);
}

static void close_fdp(int *fd) {
        if (*fd >= 0)
                (void)close(*fd);
}

static int refuse(Diag *diag, int error, const char *what, const char *path) {
        /* A service of systemd's has root's name, but not the power to override permissions. */
        if (error == EACCES && geteuid() == 0)
                return diag_set(diag, -EACCES,
                                "cannot read the %s %s: %s, since this process may not override "
                                "permissions: let root own it",
                                what, path, strerror(EACCES));
        return diag_set(diag, -error, "cannot read the %s %s: %s", what, path, strerror(error));
}

static int read_all(int fd, PemFile *file) {
        size_t n_read = 0;

        while (n_read < file->n_bytes) {
                ssize_t n = read(fd, file->text + n_read, file->n_bytes - n_read);

                if (n < 0 && errno != EINTR)
                        return errno;
                if (n == 0)
                        return EAGAIN; /* it is being written */
                n_read += n > 0 ? (size_t)n : 0;
        }
        return 0;
}

static int pem_file_read(PemFile *ret_file, const char *what, const char *path, Diag *diag) {
        _cleanup_(close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        struct stat st;
        int error;

        if (fd < 0 || fstat(fd, &st) < 0)
                return refuse(diag, errno, what, path);
        if (!S_ISREG(st.st_mode))
                return diag_set(diag, -EINVAL, "the %s %s is no regular file", what, path);
        if (st.st_size > FILE_MAX_BYTES)
                return diag_set(diag, -EFBIG, "the %s %s is larger than 1 MiB", what, path);

        ret_file->n_bytes = (size_t)st.st_size;
        ret_file->text = malloc(ret_file->n_bytes + 1);
        if (!ret_file->text)
                return -ENOMEM;
        ret_file->text[ret_file->n_bytes] = '\0';
        error = read_all(fd, ret_file);
        return error ? refuse(diag, error, what, path) : 0;
}

/* Is the error at the top of OpenSSL's queue "nothing of this kind follows in the file"? */
static bool is_at_end(void) {
        unsigned long error = ERR_peek_last_error();

        return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

static int refuse_pem(Diag *diag, bool is_missing, const char *what, const char *path,
                      const char *wanted) {
        ERR_clear_error();
        return is_missing ? diag_set(diag, -EINVAL, "the %s %s holds no %s in PEM form", what, path,
                                     wanted)
                          : diag_set(diag, -EINVAL, "the %s %s is damaged, or holds no %s", what,
                                     path, wanted);
}

/* Takes what the file holds one by one. Returns how many, or -ENOMEM, or -EINVAL with a message. */
static int read_certificates(const char *what, const char *path,
                             int (*take)(X509 *certificate, int index, void *userdata),
                             void *userdata, Diag *diag) {
        _cleanup_(pem_file_done) PemFile file = { 0 };
        _cleanup_(bio_freep) BIO *bio = NULL;
        int n = 0, r;

        r = pem_file_read(&file, what, path, diag);
        if (r < 0)
                return r;
        bio = BIO_new_mem_buf(file.text, (int)file.n_bytes);
        if (!bio)
                return -ENOMEM;

        ERR_clear_error();
        for (;;) {
                _cleanup_(x509_freep) X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);

                if (!certificate)
                        break;
                r = take(certificate, n++, userdata);
                if (r < 0)
                        return r == -EINVAL
                                       ? refuse_pem(diag, false, what, path, "usable certificate")
                                       : r;
        }
        if (n == 0 || !is_at_end())
                return refuse_pem(diag, is_at_end(), what, path, "certificate");

        ERR_clear_error();
        return n;
}

static int take_authority(X509 *certificate, int index, void *userdata) {
        (void)index;
        return X509_STORE_add_cert(userdata, certificate) == 1 ? 0 : -ENOMEM;
}

int tls_trust_file(SSL_CTX *context, const char *path, Diag *diag) {
        int r = read_certificates("CA file", path, take_authority, SSL_CTX_get_cert_store(context),
                                  diag);

        return r < 0 ? r : 0;
}

static int take_own(X509 *certificate, int index, void *userdata) {
        int taken = index == 0 ? SSL_use_certificate(userdata, certificate)
                               : SSL_add1_chain_cert(userdata, certificate);

        return taken == 1 ? 0 : -EINVAL;
}

static int refuse_passphrase(char *buffer, int size, int is_writing, void *userdata) {
        bool *was_asked = userdata;

        (void)buffer;
        (void)size;
        (void)is_writing;
        *was_asked = true;
        return -1;
}

static int use_key(SSL *ssl, const char *path, Diag *diag) {
        static const char what[] = "key file";
        _cleanup_(pem_file_done) PemFile file = { 0 };
        _cleanup_(bio_freep) BIO *bio = NULL;
        _cleanup_(key_freep) EVP_PKEY *key = NULL;
        bool was_asked = false;
        int r;

        r = pem_file_read(&file, what, path, diag);
        if (r < 0)
                return r;
        bio = BIO_new_mem_buf(file.text, (int)file.n_bytes);
        if (!bio)
                return -ENOMEM;

        ERR_clear_error();
        key = PEM_read_bio_PrivateKey(bio, NULL, refuse_passphrase, &was_asked);
        if (was_asked)
                return diag_set(diag, -EINVAL,
                                "the %s %s is protected by a passphrase, and there is nobody to "
                                "ask: remove it (openssl pkey -in OLD -out NEW)",
                                what, path);
        if (!key)
                return refuse_pem(diag, !strstr(file.text, "PRIVATE KEY-----"), what, path,
                                  "private key");

        if (X509_check_private_key(SSL_get_certificate(ssl), key) != 1)
                return diag_set(diag, -EINVAL,
                                "the key in %s does not belong to the certificate: one of the two "
                                "files is another's",
                                path);
        return SSL_use_PrivateKey(ssl, key) == 1 ? 0 : -ENOMEM;
}

int tls_use_files(SSL *ssl, const char *cert_path, const char *key_path, Diag *diag) {
        int r = read_certificates("certificate file", cert_path, take_own, ssl, diag);

        return r < 0 ? r : use_key(ssl, key_path, diag);
}
