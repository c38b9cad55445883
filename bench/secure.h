/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      secure - the TLS of the bench: the sink's server side, and a client that verifies and resumes
 *
 * DESCRIPTION
 *      TLS 1.3.  The client keeps a stack of tickets for its one MX: a ticket of TLS 1.3 is used once,
 *      and each handshake brings two.  Any thread; the tickets have a lock.
 */
#ifndef TLSMEND_BENCH_SECURE_H
#define TLSMEND_BENCH_SECURE_H

#include <openssl/ssl.h>
#include <stdbool.h>

struct secure;

struct secure *secure_server(const char *chain_file, const char *key_file);
/* The chain must lead to a root of ca_file and name the host; resume: tickets are used. */
struct secure *secure_client(const char *ca_file, const char *host, bool resume);
SSL *secure_new(struct secure *s);
void secure_free(struct secure *s);

#endif
