/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/tls/tls-words.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/sslerr.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "lib/base/macro.h"

enum {
        DATE_BYTES = 40,
        NAMES_BYTES = 200, /* of a certificate, as far as they are shown */
};

/* Where text is put that may be cut. */
typedef struct Cut {
        char *text;
        size_t n_bytes; /* room, with the NUL */
} Cut;

static void cut_add(Cut *cut, const char *text, size_t n_bytes) {
        size_t used = strlen(cut->text);

        if (used + n_bytes + 1 > cut->n_bytes)
                n_bytes = cut->n_bytes - used - 1;
        for (size_t i = 0; i < n_bytes; i++)
                cut->text[used + i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
        cut->text[used + n_bytes] = '\0';
}

static const char *print_date(const ASN1_TIME *date, char buffer[static DATE_BYTES]) {
        BIO *bio = BIO_new(BIO_s_mem());
        int n = 0;

        if (bio && ASN1_TIME_print(bio, date) == 1)
                n = BIO_read(bio, buffer, DATE_BYTES - 1);
        buffer[n > 0 ? n : 0] = '\0';
        BIO_free(bio);
        return buffer;
}

/* A host name or an address of a certificate. One that is of no family's length is left out: whoever
 * made the certificate chose it. */
static void print_name(const GENERAL_NAME *name, Cut *out) {
        const ASN1_STRING *bytes = name->type == GEN_DNS ? name->d.dNSName : name->d.iPAddress;
        const unsigned char *data = ASN1_STRING_get0_data(bytes);
        size_t n = (size_t)ASN1_STRING_length(bytes);
        char address[INET6_ADDRSTRLEN] = "";
        const char *text = address;

        if (name->type == GEN_DNS)
                text = (const char *)data;
        else if (n == sizeof(struct in_addr) || n == sizeof(struct in6_addr))
                n = strlen(inet_ntop(n == sizeof(struct in_addr) ? AF_INET : AF_INET6, data,
                                     address, sizeof(address)));
        else
                return;
        if (*out->text)
                cut_add(out, ", ", 2);
        cut_add(out, text, n);
}

/* The host names and addresses of a certificate, separated by commas. */
static void print_names(const X509 *certificate, Cut *out) {
        GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);

        for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
                const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

                if (name->type == GEN_DNS || name->type == GEN_IPADD)
                        print_name(name, out);
        }
        GENERAL_NAMES_free(names);
}

/* The common name of an issuer, or all of its name when it has none. */
static void print_issuer(const X509 *certificate, Cut *out) {
        const X509_NAME *issuer = X509_get_issuer_name(certificate);
        int at = X509_NAME_get_index_by_NID(issuer, NID_commonName, -1);
        const ASN1_STRING *common;
        char text[NAMES_BYTES] = "";

        if (at >= 0) {
                common = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(issuer, at));
                cut_add(out, (const char *)ASN1_STRING_get0_data(common),
                        (size_t)ASN1_STRING_length(common));
        } else if (X509_NAME_oneline(issuer, text, sizeof(text))) {
                cut_add(out, text, strlen(text));
        }
}

static void say_wrong_name(const X509 *certificate, const TlsSubject *subject, Diag *diag) {
        char names[NAMES_BYTES] = "";
        Cut out = { names, sizeof(names) };

        print_names(certificate, &out);
        if (*names)
                (void)diag_set(diag, 0, "its certificate is for %s, not for %s", names,
                               subject->name);
        else
                (void)diag_set(diag, 0,
                               "its certificate names no host or address as a subject alternative "
                               "name; it must name %s",
                               subject->name);
}

static void say_unknown_authority(const X509 *certificate, const TlsSubject *subject, Diag *diag) {
        char issuer[NAMES_BYTES] = "";
        Cut out = { issuer, sizeof(issuer) };

        print_issuer(certificate, &out);
        if (subject->ca_path)
                (void)diag_set(diag, 0,
                               "its certificate comes from \"%s\", which is no authority of the CA "
                               "file %s",
                               issuer, subject->ca_path);
        else
                (void)diag_set(diag, 0,
                               "its certificate comes from \"%s\", which this system does not "
                               "trust; a CA file says whom to trust",
                               issuer);
}

static void say_wrong_purpose(const char *whose, bool is_own, const TlsSubject *subject,
                              Diag *diag) {
        const char *whom = subject->name ? "servers" : "clients";

        if (is_own)
                (void)diag_set(diag, 0, "%s is not for %s (extendedKeyUsage=%s)", whose, whom,
                               subject->name ? "serverAuth" : "clientAuth");
        else
                (void)diag_set(diag, 0, "%s is not one of a CA for %s", whose, whom);
}

void tls_say_refused(X509_STORE_CTX *verification, const TlsSubject *subject, Diag *diag) {
        const X509 *certificate = X509_STORE_CTX_get_current_cert(verification);
        bool is_own = X509_STORE_CTX_get_error_depth(verification) == 0;
        const char *whose = is_own ? "its certificate" : "the certificate of its CA";
        int error = X509_STORE_CTX_get_error(verification);
        char date[DATE_BYTES];

        if (!certificate) {
                (void)diag_set(diag, 0, "its certificate cannot be verified: %s",
                               X509_verify_cert_error_string(error));
                return;
        }

        switch (error) {
        case X509_V_ERR_CERT_HAS_EXPIRED:
                (void)diag_set(diag, 0, "%s has expired, on %s", whose,
                               print_date(X509_get0_notAfter(certificate), date));
                return;
        case X509_V_ERR_CERT_NOT_YET_VALID:
                (void)diag_set(diag, 0,
                               "%s is not valid yet, only from %s; is this machine's clock right?",
                               whose, print_date(X509_get0_notBefore(certificate), date));
                return;
        case X509_V_ERR_HOSTNAME_MISMATCH:
        case X509_V_ERR_IP_ADDRESS_MISMATCH:
                say_wrong_name(certificate, subject, diag);
                return;
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
        case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        case X509_V_ERR_CERT_SIGNATURE_FAILURE:
                say_unknown_authority(certificate, subject, diag);
                return;
        case X509_V_ERR_INVALID_PURPOSE:
                say_wrong_purpose(whose, is_own, subject, diag);
                return;
        default:
                (void)diag_set(diag, 0, "%s cannot be verified: %s", whose,
                               X509_verify_cert_error_string(error));
        }
}

/* The peer refuses what we have shown, or that we have shown nothing. Programs in Go say "bad
 * certificate" for all of it. */
static void say_own_refused(const TlsSubject *subject, const char *why, Diag *diag) {
        const char *whose = subject->name ? "the client" : "our";
        char date[DATE_BYTES];

        if (!subject->certificate) {
                (void)diag_set(diag, 0, "it wants a client certificate, and none is configured");
                return;
        }

        if (X509_cmp_current_time(X509_get0_notAfter(subject->certificate)) < 0)
                (void)diag_set(diag, 0, "it refuses %s certificate %s, which has expired, on %s",
                               whose, subject->cert_path,
                               print_date(X509_get0_notAfter(subject->certificate), date));
        else if (X509_cmp_current_time(X509_get0_notBefore(subject->certificate)) > 0)
                (void)diag_set(diag, 0, "it refuses %s certificate %s, which is valid only from %s",
                               whose, subject->cert_path,
                               print_date(X509_get0_notBefore(subject->certificate), date));
        else
                (void)diag_set(diag, 0, "it refuses %s certificate %s%s", whose, subject->cert_path,
                               why);
}

/* What the peer's alerts and our own findings mean. */
typedef struct Meaning {
        int reason;
        bool is_about_ours; /* our certificate */
        const char *text;
} Meaning;

static const Meaning of_servers[] = {
        { SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, true,
          ": is it from the CA that the server trusts, and for clients?" },
        { SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, true, ": it does not support this kind" },
        { SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, true, ": it is revoked" },
        { SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, true, ": it has expired by the server's clock" },
        { SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, true, "" },
        { SSL_R_TLSV1_ALERT_UNKNOWN_CA, true, ": it does not trust the CA that it is from" },
        { SSL_R_TLSV1_ALERT_ACCESS_DENIED, true, ": it denies access to its holder" },
        { SSL_R_TLSV1_ALERT_DECRYPT_ERROR, true, ": it cannot verify the key's signature" },
        { SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, true, "" },
        { SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, false,
          "it finds nothing in TLS that both sides can do, or wants another client certificate" },
        { SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, false, "it does not speak TLS 1.2 or later" },
        { SSL_R_UNSUPPORTED_PROTOCOL, false, "it does not speak TLS 1.2 or later" },
        { SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL, false,
          "it does not speak the same protocol over TLS (ALPN)" },
        { SSL_R_WRONG_VERSION_NUMBER, false,
          "it answers, but not in TLS; is it http:// in place of https://?" },
        { SSL_R_PACKET_LENGTH_TOO_LONG, false,
          "it answers, but not in TLS; is it http:// in place of https://?" },
        { SSL_R_EE_KEY_TOO_SMALL, false, "the key of its certificate is too short" },
        { SSL_R_DH_KEY_TOO_SMALL, false, "its Diffie-Hellman key is too short" },
};

static const Meaning of_clients[] = {
        { SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, true,
          ": is it from the CA that the client trusts, and for the name or address that it asks "
          "for?" },
        { SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, true, ": is it for servers?" },
        { SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, true, ": it is revoked" },
        { SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, true, ": it has expired by the client's clock" },
        { SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, true, "" },
        { SSL_R_TLSV1_ALERT_UNKNOWN_CA, true, ": it does not trust the CA that it is from" },
        { SSL_R_TLSV1_ALERT_DECRYPT_ERROR, true, ": it cannot verify the key's signature" },
        { SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, false,
          "it shows no client certificate, and has to" },
        { SSL_R_NO_SHARED_CIPHER, false, "it finds nothing in TLS that both sides can do" },
        { SSL_R_UNSUPPORTED_PROTOCOL, false, "it does not speak TLS 1.2 or later" },
        { SSL_R_VERSION_TOO_LOW, false, "it does not speak TLS 1.2 or later" },
        { SSL_R_NO_APPLICATION_PROTOCOL, false,
          "it does not speak the same protocol over TLS (ALPN)" },
        { SSL_R_HTTP_REQUEST, false, "it does not speak TLS; is it http:// in place of https://?" },
        { SSL_R_WRONG_VERSION_NUMBER, false,
          "it does not speak TLS; is it http:// in place of https://?" },
        { SSL_R_PACKET_LENGTH_TOO_LONG, false,
          "it does not speak TLS; is it http:// in place of https://?" },
        { SSL_R_EE_KEY_TOO_SMALL, false, "the key of its certificate is too short" },
};

static const Meaning *find_meaning(int reason, const TlsSubject *subject) {
        const Meaning *meanings = subject->name ? of_servers : of_clients;
        size_t n = subject->name ? ELEMENTSOF(of_servers) : ELEMENTSOF(of_clients);

        for (size_t i = 0; i < n; i++) {
                if (meanings[i].reason == reason)
                        return &meanings[i];
        }
        return NULL;
}

void tls_say_error(unsigned long error, const TlsSubject *subject, Diag *diag) {
        const Meaning *meaning = ERR_GET_LIB(error) == ERR_LIB_SSL
                                         ? find_meaning(ERR_GET_REASON(error), subject)
                                         : NULL;

        if (meaning && meaning->is_about_ours)
                say_own_refused(subject, meaning->text, diag);
        else if (meaning)
                (void)diag_set(diag, 0, "%s", meaning->text);
        else
                (void)diag_set(diag, 0,
                               "TLS failed %s (`openssl errstr %lX` says what OpenSSL makes of it)",
                               subject->was_proven ? "on the connection" : "in the handshake",
                               error);
}
