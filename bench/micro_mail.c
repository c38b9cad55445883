/* SPDX-License-Identifier: Apache-2.0 */
/* micro_mail - see micro_mail.h. */
#include "bench/micro_mail.h"

#include "proxy/base/invariant.h"

#define WHEN INT64_C(1795326840123)

/* clang-format off */
const struct micro_field micro_attempt[] = {
    {"attempt", NULL, 0, 0},
    {"session", "s6561f0a800001f3b", 0, 0},
    {"transaction", "s6561f0a800001f3b-1", 0, 0},
    {"leg", "s6561f0a800001f3b-1-1", 0, 0},
    {"queue_id", "4WxYz12345", 0, 0},
    {"client", "192.0.2.17", 0, 0},
    {"attempt", "s6561f0a800001f3b-1-1-1", 0, 0},
    {"sender_domain", "mail.some-company.example", 0, 0},
    {"recipient_domain", "another-company.example", 0, 0},
    {"provider", "another-company.example", 0, 0},
    {"mx", "mx1.another-company.example", 0, 0},
    {"address", "192.0.2.25", 0, 0},
    {"port", NULL, 25, 0},
    {"preference", NULL, 10, 0},
    {"route", "mx", 0, 0},
    {"dnssec", NULL, 0, 0},
    {"rung", "full", 0, 0},
    {"demand", "verify", 0, 0},
    {"demand_source", "config", 0, 0},
    {"min_version", "1.2", 0, 0},
    {"dane", "insecure", 0, 0},
    {"greeting", "220 mx1.another-company.example ESMTP Postfix", 0, 0},
    {"ehlo", "250 mx1.another-company.example greets you / PIPELINING / SIZE 52428800 / VRFY / ETRN / "
             "STARTTLS / ENHANCEDSTATUSCODES / 8BITMIME / DSN / CHUNKING", 0, 0},
    {"starttls_offered", NULL, 1, 0},
    {"tls", "TLSv1.3", 0, 0},
    {"cipher", "TLS_AES_128_GCM_SHA256", 0, 0},
    {"group", "X25519", 0, 0},
    {"sigalg", "ecdsa_secp256r1_sha256", 0, 0},
    {"resumed", NULL, 0, 0},
    {"cert_subject", "CN=mx1.another-company.example", 0, 0},
    {"cert_names", "", 0, 2},
    {"cert_issuer", "CN=R11,O=Some Authority,C=US", 0, 0},
    {"cert_not_before", "2026-10-02T08:14:11.000Z", 0, 0},
    {"cert_not_after", "2026-12-31T08:14:10.000Z", 0, 0},
    {"cert_days_left", NULL, 39, 0},
    {"cert_key", "EC 256", 0, 0},
    {"cert_signature", "sha256WithRSAEncryption", 0, 0},
    {"cert_sha256", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", 0, 0},
    {"cert_spki_sha256", "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752", 0, 0},
    {"chain_length", NULL, 2, 0},
    {"verify", "ok", 0, 0},
    {"matched_name", "mx1.another-company.example", 0, 0},
    {"pinned", NULL, 0, 0},
    {"ocsp", "none", 0, 0},
    {"anchor", "CN=Some Root X1,O=Some Authority,C=US", 0, 0},
    {"stage", "final", 0, 0},
    {"outcome", "delivered", 0, 0},
    {"reason", "ok", 0, 0},
    {"reply", "250 2.0.0 Ok: queued as 4WxYz12345", 0, 0},
    {"t_dns", NULL, 0, 0},
    {"t_connect", NULL, 1, 0},
    {"t_greeting", NULL, 3, 0},
    {"t_tls", NULL, 12, 0},
    {"t_mail", NULL, 1, 0},
    {"t_data", NULL, 1, 0},
    {"t_final", NULL, 14, 0},
    {"bytes", NULL, 4321, 0},
    {NULL, NULL, 0, 0},
};

const struct micro_field micro_result[] = {
    {"result", NULL, 0, 0},
    {"session", "s6561f0a800001f3b", 0, 0},
    {"transaction", "s6561f0a800001f3b-1", 0, 0},
    {"leg", "s6561f0a800001f3b-1-1", 0, 0},
    {"queue_id", "4WxYz12345", 0, 0},
    {"client", "192.0.2.17", 0, 0},
    {"sender", "first.last@mail.some-company.example", 0, 0},
    {"recipient", "somebody.else@another-company.example", 0, 0},
    {"recipient_domain", "another-company.example", 0, 0},
    {"status", "delivered", 0, 0},
    {"code", NULL, 250, 0},
    {"enhanced", "2.0.0", 0, 0},
    {"reply", "250 2.0.0 Ok: queued as 4WxYz12345", 0, 0},
    {"origin", "mx", 0, 0},
    {"reason", "ok", 0, 0},
    {"mx", "mx1.another-company.example", 0, 0},
    {"address", "192.0.2.25", 0, 0},
    {"tls", "TLSv1.3", 0, 0},
    {"demand", "verify", 0, 0},
    {"delay", NULL, 31, 0},
    {NULL, NULL, 0, 0},
};

const struct micro_field micro_session[] = {
    {"session", NULL, 0, 0},
    {"session", "s6561f0a800001f3b", 0, 0},
    {"client", "192.0.2.17", 0, 0},
    {"listener", "submission", 0, 0},
    {"helo", "mail.some-company.example", 0, 0},
    {"transactions", NULL, 1, 0},
    {"end", "quit", 0, 0},
    {"duration", NULL, 38, 0},
    {NULL, NULL, 0, 0},
};
/* clang-format on */

struct record *micro_record(const struct micro_field *fields)
{
    static const struct slice names[] = {{"mx1.another-company.example", 27},
                                         {"mx2.another-company.example", 27}};
    struct record *r = record_new(fields->key, RECORD_INFO, WHEN);

    for (const struct micro_field *f = fields + 1; f->key != NULL; f++) {
        INVARIANT(f->names <= 2);
        if (f->names > 0)
            record_list(r, f->key, names, f->names);
        else if (f->text != NULL)
            record_cstr(r, f->key, f->text);
        else
            record_int(r, f->key, f->number);
    }
    return r;
}
