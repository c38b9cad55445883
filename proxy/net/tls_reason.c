/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_reason - from the library's errors and the peer's alerts to reasons with names (C-TLS-10)
 *
 * BoringSSL puts what it noticed first into the queue first; an alert that came stands there as
 * SSL_AD_REASON_OFFSET + its number.  The first entry with a row below decides; without one, the
 * first of the ssl library.
 */
#include <ctype.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

#include "proxy/net/escape_internal.h"
#include "proxy/net/tls_internal.h"

#define ALERT(number) (SSL_AD_REASON_OFFSET + (number))

static const struct {
    int code;
    enum reason why;
} rows[] = {
    {SSL_R_UNSUPPORTED_PROTOCOL, REASON_TLS_VERSION},
    {SSL_R_UNKNOWN_SSL_VERSION, REASON_TLS_VERSION},
    {SSL_R_WRONG_SSL_VERSION, REASON_TLS_VERSION},
    {SSL_R_WRONG_VERSION_NUMBER, REASON_TLS_VERSION},
    {ALERT(SSL_AD_PROTOCOL_VERSION), REASON_TLS_VERSION},

    {SSL_R_HANDSHAKE_FAILURE_ON_CLIENT_HELLO, REASON_TLS_NO_SHARED_CIPHER},
    {SSL_R_NO_SHARED_CIPHER, REASON_TLS_NO_SHARED_CIPHER},
    {SSL_R_UNKNOWN_CIPHER_RETURNED, REASON_TLS_NO_SHARED_CIPHER},
    {SSL_R_WRONG_CIPHER_RETURNED, REASON_TLS_NO_SHARED_CIPHER},
    {SSL_R_UNSUPPORTED_CIPHER, REASON_TLS_NO_SHARED_CIPHER},
    {SSL_R_NO_CIPHERS_AVAILABLE, REASON_TLS_NO_SHARED_CIPHER},
    {SSL_R_NO_SHARED_GROUP, REASON_TLS_NO_SHARED_CIPHER},
    {SSL_R_WRONG_CURVE, REASON_TLS_NO_SHARED_CIPHER},
    {SSL_R_UNSUPPORTED_ELLIPTIC_CURVE, REASON_TLS_NO_SHARED_CIPHER},
    {SSL_R_BAD_ECC_CERT, REASON_TLS_NO_SHARED_CIPHER},
    {SSL_R_WRONG_SIGNATURE_TYPE, REASON_TLS_NO_SHARED_CIPHER},
    {SSL_R_NO_COMMON_SIGNATURE_ALGORITHMS, REASON_TLS_NO_SHARED_CIPHER},
    {ALERT(SSL_AD_HANDSHAKE_FAILURE), REASON_TLS_NO_SHARED_CIPHER},
    {ALERT(SSL_AD_INSUFFICIENT_SECURITY), REASON_TLS_NO_SHARED_CIPHER},

    {ALERT(SSL_AD_CERTIFICATE_REQUIRED), REASON_TLS_CLIENT_CERT},
    {ALERT(SSL_AD_CLOSE_NOTIFY), REASON_TLS_RESET},

    {SSL_R_NO_CERTIFICATES_RETURNED, REASON_CERT_NONE},
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, REASON_CERT_NONE},
    {SSL_R_CANNOT_PARSE_LEAF_CERT, REASON_CERT_MALFORMED},
    {SSL_R_CERT_LENGTH_MISMATCH, REASON_CERT_MALFORMED},
    {SSL_R_KEY_USAGE_BIT_INCORRECT, REASON_CERT_WRONG_PURPOSE},
    {SSL_R_ECC_CERT_NOT_FOR_SIGNING, REASON_CERT_WRONG_PURPOSE},

    {SSL_R_HTTP_REQUEST, REASON_TLS_GARBAGE},
    {SSL_R_HTTPS_PROXY_REQUEST, REASON_TLS_GARBAGE},
};

/* What a server answers that asked for a certificate of ours and did not get one. */
static const int certificate_alerts[] = {
    SSL_AD_HANDSHAKE_FAILURE,    SSL_AD_BAD_CERTIFICATE, SSL_AD_NO_CERTIFICATE,
    SSL_AD_CERTIFICATE_UNKNOWN,  SSL_AD_UNKNOWN_CA,      SSL_AD_ACCESS_DENIED,
    SSL_AD_CERTIFICATE_REQUIRED,
};

static bool row_find(int code, enum reason *out)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].code == code) {
            *out = rows[i].why;
            return true;
        }
    return false;
}

static bool explain_alert(const struct tls_wire *w, int alert, enum reason *why)
{
    if (w->certificate_asked)
        for (size_t i = 0; i < sizeof(certificate_alerts) / sizeof(certificate_alerts[0]); i++)
            if (certificate_alerts[i] == alert) {
                *why = REASON_TLS_CLIENT_CERT;
                return true;
            }
    if (!row_find(ALERT(alert), why))
        *why = REASON_TLS_ALERT;
    return true;
}

/* True if this entry of the queue is decisive. */
static bool explain_one(const struct tls_wire *w, uint32_t error, enum reason *why)
{
    int code = ERR_GET_REASON(error);

    if (ERR_GET_LIB(error) != ERR_LIB_SSL)
        return false;
    if (code >= SSL_AD_REASON_OFFSET)
        return explain_alert(w, code - SSL_AD_REASON_OFFSET, why);
    /* Only behind the ServerHello is the large message the certificates. */
    if (code == SSL_R_EXCESSIVE_MESSAGE_SIZE && SSL_get_pending_cipher(w->ssl) != NULL) {
        *why = REASON_CERT_TOO_MANY;
        return true;
    }
    /* The library looks at the key usage before the certificate is ours to judge, and in TLS 1.3 it cannot
     * be told not to.  Where no chain is owed (DANE-EE, RFC 7671 5.1) it does not matter, so this is
     * the handshake's failure and no judgement: the TLS 1.2 rung of the ladder may get through. */
    if ((code == SSL_R_KEY_USAGE_BIT_INCORRECT || code == SSL_R_ECC_CERT_NOT_FOR_SIGNING) &&
        (w->needs & NEED_CHAIN) == 0) {
        *why = REASON_TLS_PROTOCOL;
        return true;
    }
    /* A record header whose version is none at all: no old TLS, no TLS. */
    if (code == SSL_R_WRONG_VERSION_NUMBER && w->first_count > 1 && w->first[1] != 3) {
        *why = REASON_TLS_GARBAGE;
        return true;
    }
    return row_find(code, why);
}

static void words(uint32_t error, char detail[TLS_DETAIL_MAX])
{
    int code = ERR_GET_REASON(error);
    const char *text = ERR_reason_error_string(error);
    int n;

    if (ERR_GET_LIB(error) == ERR_LIB_SSL && code >= SSL_AD_REASON_OFFSET) {
        (void)snprintf(detail, TLS_DETAIL_MAX, "alert of the server: %s",
                       SSL_alert_desc_string_long(code - SSL_AD_REASON_OFFSET));
        return;
    }
    if (text == NULL) {
        (void)snprintf(detail, TLS_DETAIL_MAX, "the TLS library gives no reason");
        return;
    }
    n = snprintf(detail, TLS_DETAIL_MAX, "%s", text);
    for (int i = 0; i < n && detail[i] != '\0'; i++) /* "NO_SHARED_CIPHER" */
        detail[i] = detail[i] == '_' ? ' ' : (char)tolower((unsigned char)detail[i]);
}

void tls_explain(const struct tls_wire *w, enum reason *why, char detail[TLS_DETAIL_MAX])
{
    uint32_t error, spoken = 0;

    *why = REASON_TLS_PROTOCOL;
    while ((error = ERR_get_error()) != 0) {
        if (spoken == 0 ||
            (ERR_GET_LIB(spoken) != ERR_LIB_SSL && ERR_GET_LIB(error) == ERR_LIB_SSL))
            spoken = error;
        if (explain_one(w, error, why)) {
            spoken = error;
            break;
        }
    }
    words(spoken, detail);
    ERR_clear_error();
}

bool tls_is_record_start(unsigned char first)
{
    return first >= SSL3_RT_CHANGE_CIPHER_SPEC && first <= SSL3_RT_APPLICATION_DATA;
}

enum reason tls_explain_start(struct slice bytes, char detail[TLS_DETAIL_MAX])
{
    unsigned char first = bytes.n > 0 ? (unsigned char)bytes.p[0] : 0;
    bool text = isprint(first) || first == '\r' || first == '\n' || first == '\t';
    struct buf words;

    buf_init(&words, TLS_DETAIL_MAX - 1);
    (void)buf_addf(&words, "%s instead of a TLS record: \"", text ? "clear text" : "bytes");
    escape_add(slice_first(bytes, 40), &words);
    (void)buf_addc(&words, '"');
    (void)snprintf(detail, TLS_DETAIL_MAX, "%s", buf_cstr(&words));
    buf_clear(&words);
    return text ? REASON_STARTTLS_INJECTION : REASON_TLS_GARBAGE;
}
