/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      der - small readers and printers for DER
 */
#include "certs/der_internal.h"

#include <string.h>

/* More relative names than any real subject has; the rest is not shown. */
#define NAME_PARTS_MAX 32

struct slice der_slice(const CBS *c)
{
    return slice_of(CBS_data(c), CBS_len(c));
}

CBS der_cbs(struct slice s)
{
    CBS c;

    CBS_init(&c, (const uint8_t *)s.p, s.n);
    return c;
}

static bool two_digits(const char *p, int *out)
{
    if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
        return false;
    *out = (p[0] - '0') * 10 + (p[1] - '0');
    return true;
}

/* Days from 1970-01-01 in the proleptic Gregorian calendar, with years that begin in March. */
static int64_t days_of(int year, int month, int day)
{
    int y = month <= 2 ? year - 1 : year;
    int era = y / 400;
    int of_era = y - era * 400;
    int of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return (int64_t)era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int days_in(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    if (month == 2 && ((year % 4 == 0 && year % 100 != 0) || year % 400 == 0))
        return 29;
    return days[month - 1];
}

/* "MMDDHHMMSSZ" after the year. */
static bool rest_of_time(const char *p, int year, wall_ms *out)
{
    int month, day, hour, minute, second;

    if (!two_digits(p, &month) || !two_digits(p + 2, &day) || !two_digits(p + 4, &hour) ||
        !two_digits(p + 6, &minute) || !two_digits(p + 8, &second) || p[10] != 'Z')
        return false;
    if (month < 1 || month > 12 || day < 1 || day > days_in(year, month) || hour > 23 ||
        minute > 59 || second > 59)
        return false;
    *out = (((days_of(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) * 1000;
    return true;
}

bool der_generalized_time(CBS *in, wall_ms *out)
{
    CBS t;
    int century, year;

    if (!CBS_get_asn1(in, &t, CBS_ASN1_GENERALIZEDTIME) || CBS_len(&t) != 15)
        return false;
    const char *p = der_slice(&t).p;

    return two_digits(p, &century) && two_digits(p + 2, &year) &&
           rest_of_time(p + 4, century * 100 + year, out);
}

bool der_time(CBS *in, wall_ms *out)
{
    CBS t;
    int year;

    if (CBS_peek_asn1_tag(in, CBS_ASN1_GENERALIZEDTIME))
        return der_generalized_time(in, out);
    if (!CBS_get_asn1(in, &t, CBS_ASN1_UTCTIME) || CBS_len(&t) != 13)
        return false;
    const char *p = der_slice(&t).p;

    /* RFC 5280 4.1.2.5.1: 50 and later is the century before. */
    return two_digits(p, &year) && rest_of_time(p + 2, year + (year >= 50 ? 1900 : 2000), out);
}

bool der_algorithm(CBS *in, struct slice *oid, struct slice *params)
{
    CBS seq, id;

    if (!CBS_get_asn1(in, &seq, CBS_ASN1_SEQUENCE) || !CBS_get_asn1(&seq, &id, CBS_ASN1_OBJECT))
        return false;
    *oid = der_slice(&id);
    *params = der_slice(&seq);
    return true;
}

bool der_bits(CBS *in, struct slice *out)
{
    CBS bits;
    uint8_t unused;

    if (!CBS_get_asn1(in, &bits, CBS_ASN1_BITSTRING) || !CBS_get_u8(&bits, &unused) || unused != 0)
        return false;
    *out = der_slice(&bits);
    return true;
}

/* Appends are allowed to fail where the text is full: a cut text is still a text. */
static void put(struct buf *out, struct slice s)
{
    (void)buf_add(out, s);
}

static void put_escaped(struct buf *out, unsigned char c)
{
    (void)buf_addf(out, "\\x%02x", c);
}

void text_escape(struct slice s, struct buf *out)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c < 0x20 || c > 0x7e || c == '\\')
            put_escaped(out, c);
        else
            (void)buf_addc(out, (char)c);
    }
}

void hex_text(const uint8_t *p, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    out[2 * n] = '\0';
}

void oid_text(struct slice oid, struct buf *out)
{
    CBS c = der_cbs(oid);
    char *text = CBS_asn1_oid_to_text(&c);

    put(out, text != NULL ? slice_str(text) : SLICE("?"));
    OPENSSL_free(text);
}

static const struct attribute_name {
    struct slice oid;
    const char *name;
} attribute_names[] = {
    {OID("\x55\x04\x03"), "CN"},
    {OID("\x55\x04\x05"), "serialNumber"},
    {OID("\x55\x04\x06"), "C"},
    {OID("\x55\x04\x07"), "L"},
    {OID("\x55\x04\x08"), "ST"},
    {OID("\x55\x04\x09"), "street"},
    {OID("\x55\x04\x0a"), "O"},
    {OID("\x55\x04\x0b"), "OU"},
    {OID("\x55\x04\x61"), "organizationIdentifier"},
    {OID("\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19"), "DC"},
    {OID("\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01"), "UID"},
    {OID("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01"), "emailAddress"},
};

static void attribute_text(struct slice oid, struct buf *out)
{
    for (size_t i = 0; i < sizeof(attribute_names) / sizeof(attribute_names[0]); i++) {
        if (slice_eq(oid, attribute_names[i].oid)) {
            put(out, slice_str(attribute_names[i].name));
            return;
        }
    }
    oid_text(oid, out);
}

/* RFC 2253 2.4, with every byte outside printable ASCII as \xHH. */
static void value_text(struct slice v, struct buf *out)
{
    static const char special[] = ",+\"\\<>;=";

    for (size_t i = 0; i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];
        bool edge = (c == ' ' && (i == 0 || i + 1 == v.n)) || (c == '#' && i == 0);

        if (c < 0x20 || c > 0x7e) {
            put_escaped(out, c);
            continue;
        }
        if (edge || memchr(special, c, sizeof(special) - 1) != NULL)
            (void)buf_addc(out, '\\');
        (void)buf_addc(out, (char)c);
    }
}

/* One RelativeDistinguishedName: "CN=a+OU=b". */
static void rdn_text(CBS rdn, struct buf *out)
{
    for (bool later = false; CBS_len(&rdn) > 0; later = true) {
        CBS pair, oid, value;
        unsigned tag;

        if (!CBS_get_asn1(&rdn, &pair, CBS_ASN1_SEQUENCE) ||
            !CBS_get_asn1(&pair, &oid, CBS_ASN1_OBJECT) || !CBS_get_any_asn1(&pair, &value, &tag))
            return;
        if (later)
            put(out, SLICE("+"));
        attribute_text(der_slice(&oid), out);
        put(out, SLICE("="));
        value_text(der_slice(&value), out);
    }
}

void der_name_text(struct slice name, struct buf *out)
{
    CBS outer = der_cbs(name), seq, parts[NAME_PARTS_MAX];
    size_t n = 0;

    if (!CBS_get_asn1(&outer, &seq, CBS_ASN1_SEQUENCE))
        return;
    while (n < NAME_PARTS_MAX && CBS_len(&seq) > 0 && CBS_get_asn1(&seq, &parts[n], CBS_ASN1_SET))
        n++;
    for (size_t i = n; i-- > 0;) {
        rdn_text(parts[i], out);
        if (i > 0)
            put(out, SLICE(","));
    }
}

void der_name_brief(struct slice name, struct buf *out)
{
    static const struct slice common_name = OID("\x55\x04\x03");
    CBS outer = der_cbs(name), seq, rdn, pair, oid, value;
    unsigned tag;

    if (!CBS_get_asn1(&outer, &seq, CBS_ASN1_SEQUENCE))
        return;
    while (CBS_len(&seq) > 0 && CBS_get_asn1(&seq, &rdn, CBS_ASN1_SET)) {
        if (CBS_get_asn1(&rdn, &pair, CBS_ASN1_SEQUENCE) &&
            CBS_get_asn1(&pair, &oid, CBS_ASN1_OBJECT) && slice_eq(der_slice(&oid), common_name) &&
            CBS_get_any_asn1(&pair, &value, &tag)) {
            put(out, SLICE("CN="));
            value_text(der_slice(&value), out);
            return;
        }
    }
    der_name_text(name, out);
}
