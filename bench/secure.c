/* SPDX-License-Identifier: Apache-2.0 */
/* secure - see secure.h for the contract. */
#include "bench/secure.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bench/wire.h"
#include "proxy/base/mem.h"

enum { TICKETS = 1024 };

struct secure {
    SSL_CTX *context;
    char *host; /* NULL: a server */
    bool resume;
    pthread_mutex_t lock;
    int count;
    SSL_SESSION *tickets[TICKETS];
};

__attribute__((noreturn)) static void die(const char *what)
{
    char text[256];

    ERR_error_string_n(ERR_peek_error(), text, sizeof(text));
    wire_die("%s: %s", what, text);
}

static struct secure *make(const SSL_METHOD *method)
{
    struct secure *s = mem_zalloc(sizeof(*s));

    s->context = SSL_CTX_new(method);
    if (s->context == NULL || SSL_CTX_set_min_proto_version(s->context, TLS1_3_VERSION) != 1)
        die("TLS");
    (void)pthread_mutex_init(&s->lock, NULL);
    return s;
}

struct secure *secure_server(const char *chain_file, const char *key_file)
{
    struct secure *s = make(TLS_server_method());

    if (SSL_CTX_use_certificate_chain_file(s->context, chain_file) != 1)
        die(chain_file);
    if (SSL_CTX_use_PrivateKey_file(s->context, key_file, SSL_FILETYPE_PEM) != 1)
        die(key_file);
    return s;
}

/* The library's callback for a fresh ticket: the newest ones are kept. */
static int keep(SSL *ssl, SSL_SESSION *session)
{
    struct secure *s = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    bool kept = false;

    (void)pthread_mutex_lock(&s->lock);
    if (s->count < TICKETS) {
        s->tickets[s->count++] = session;
        kept = true;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return kept ? 1 : 0;
}

struct secure *secure_client(const char *ca_file, const char *host, bool resume)
{
    struct secure *s = make(TLS_client_method());

    s->host = mem_strdup(host);
    s->resume = resume;
    if (SSL_CTX_load_verify_locations(s->context, ca_file, NULL) != 1)
        die(ca_file);
    SSL_CTX_set_verify(s->context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_app_data(s->context, s);
    if (resume) {
        SSL_CTX_set_session_cache_mode(s->context,
                                       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(s->context, keep);
    }
    return s;
}

static SSL_SESSION *take(struct secure *s)
{
    SSL_SESSION *taken = NULL;

    (void)pthread_mutex_lock(&s->lock);
    if (s->count > 0)
        taken = s->tickets[--s->count];
    (void)pthread_mutex_unlock(&s->lock);
    return taken;
}

SSL *secure_new(struct secure *s)
{
    SSL *ssl = SSL_new(s->context);
    SSL_SESSION *ticket;

    if (ssl == NULL)
        die("TLS");
    if (s->host == NULL) {
        SSL_set_accept_state(ssl);
        return ssl;
    }
    SSL_set_connect_state(ssl);
    if (SSL_set_tlsext_host_name(ssl, s->host) != 1 ||
        X509_VERIFY_PARAM_set1_host(SSL_get0_param(ssl), s->host, strlen(s->host)) != 1)
        die(s->host);
    ticket = s->resume ? take(s) : NULL;
    if (ticket != NULL) {
        (void)SSL_set_session(ssl, ticket);
        SSL_SESSION_free(ticket);
    }
    return ssl;
}

void secure_free(struct secure *s)
{
    SSL_SESSION *ticket;

    while ((ticket = take(s)) != NULL)
        SSL_SESSION_free(ticket);
    SSL_CTX_free(s->context);
    (void)pthread_mutex_destroy(&s->lock);
    free(s->host);
    free(s);
}
