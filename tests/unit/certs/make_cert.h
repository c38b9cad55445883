/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      make_cert - certificates, revocation lists and OCSP responses, made at test time
 *
 * DESCRIPTION
 *      DER is written byte by byte, so that wrong certificates can be made as easily as right ones.
 *      Whatever fails in here ends the program.
 */
#ifndef TLSMEND_TESTS_MAKE_CERT_H
#define TLSMEND_TESTS_MAKE_CERT_H

#include <openssl/evp.h>

#include "proxy/base/instant.h"

/* The time of all tests, and what certificates are valid around it by default. */
#define TEST_NOW 1800000000LL /* seconds: 2027-01-15 */
#define TEST_DAY 86400LL

/* Keys live as long as the program; the same number gives the same key. */
EVP_PKEY *make_rsa(int bits, int number);
EVP_PKEY *make_ec(int nid, int number);
EVP_PKEY *make_key(int number); /* P-256 */
EVP_PKEY *make_ed25519(int number);

enum make_basic { BASIC_NONE, BASIC_CA, BASIC_NOT_CA };

struct make {
    const char *subject, *issuer; /* common names; "" an empty Name; issuer NULL: self-issued */
    EVP_PKEY *key, *signer;       /* signer NULL: self-signed */
    const char
        *hash; /* "sha256" by default; "sha1", "md5", "sha384", "pss", "pss-sha1"; "dsa" and "md2":
                                     the algorithm is named and the signature is nonsense */
    int64_t from, to;       /* seconds; 0: a month before and after TEST_NOW */
    int version;            /* 0: version 3, else 1..3 */
    int64_t serial;         /* 0: a number of its own */
    const char *serial_hex; /* content of the INTEGER, instead */
    const char *const *dns; /* ends with NULL */
    int dns_count;          /* this many generated names behind those of `dns` */
    const char *nul_name;   /* "a\0b" is written with '|' for the NUL: "a|b" */
    const char *address;    /* an iPAddress entry, 4 bytes */
    enum make_basic basic;
    int path_limit;       /* 0: none; else the limit + 1 */
    const char *usage;    /* letters: s digital signature, e key encipherment, a agreement,
                             c cert sign, r CRL sign; NULL: no extension */
    const char *extended; /* "server", "client", "any", "ocsp", "server,client", ... */
    const char *permitted, *excluded; /* dNSName constraints */
    int excluded_count;               /* this many generated dNSName constraints more */
    bool must_staple;
    bool unknown_critical, broken_basic, twice;
    bool key_ids; /* subjectKeyIdentifier; authorityKeyIdentifier where signer is known */
    EVP_PKEY *claimed_signer; /* for a wrong authorityKeyIdentifier */
    int64_t issuer_serial; /* with key_ids: it says the issuer's name and this serial number too */
    bool damage;           /* one bit of the signature is turned */
};

/* Bytes are yours to make_free(). */
struct slice make_cert(const struct make *m);
void make_free(struct slice *s);

struct make_crl {
    const char *issuer;
    EVP_PKEY *signer;
    int64_t from, to;        /* 0: around TEST_NOW */
    struct slice revoked[4]; /* certificates; absent ones end the list */
    bool delta, indirect, damage;
};
struct slice make_crl(const struct make_crl *m);

enum make_status { STAPLE_GOOD, STAPLE_REVOKED, STAPLE_UNKNOWN };

struct make_ocsp {
    struct slice leaf, issuer; /* certificates that it is about */
    EVP_PKEY *signer;
    struct slice responder; /* a delegated responder's certificate, absent: the issuer */
    enum make_status status;
    int64_t from, to; /* 0: around TEST_NOW; to < 0: no next update */
    bool has_second;  /* another answer about the same certificate, before the first */
    enum make_status second;
    bool critical; /* an unknown critical extension in the answer */
    bool sha256_id, by_key, damage;
    const char *hash; /* of the signature */
    int error;        /* responseStatus */
};
struct slice make_ocsp(const struct make_ocsp *m);

/* PEM text of one block, NUL-terminated, yours to free(). */
char *make_pem(const char *label, struct slice der);

#endif
