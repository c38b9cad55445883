/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      micro_mail - the mail that micro measures with: what the client and the MX say, what is logged
 */
#ifndef TLSMEND_BENCH_MICRO_MAIL_H
#define TLSMEND_BENCH_MICRO_MAIL_H

#include "proxy/base/record.h"

#define MICRO_MAIL "MAIL FROM:<first.last@mail.some-company.example> SIZE=4321 BODY=8BITMIME"
#define MICRO_RCPT "RCPT TO:<somebody.else@another-company.example>"
#define MICRO_PATH "<first.last+tag@mail.some-company.example>"
#define MICRO_DOMAIN "Mail.Another-Company.Example."
#define MICRO_FINAL_REPLY \
    "250 2.0.0 Ok: queued as 4WxYz12345 on mx1.another-company.example in 12 milliseconds\r\n"
#define MICRO_EHLO_REPLY                                                                      \
    "250-mx1.another-company.example greets you, mail.some-company.example [192.0.2.17]\r\n"  \
    "250-PIPELINING\r\n250-SIZE 52428800\r\n250-VRFY\r\n250-ETRN\r\n250-STARTTLS\r\n"         \
    "250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n250-LIMITS MAILMAX=100 RCPTMAX=50" \
    "\r\n250 CHUNKING\r\n"
#define MICRO_HEADER                                                                            \
    "Received: from desk17.some-company.example (desk17.some-company.example [192.0.2.33])\r\n" \
    "\tby mail.some-company.example (Postfix) with ESMTPS id 4WxYz12345\r\n"                    \
    "\tfor <somebody.else@another-company.example>; Sun, 22 Nov 2026 05:54:00 +0000 (UTC)\r\n"  \
    "From: First Last <first.last@mail.some-company.example>\r\n"                               \
    "To: Somebody Else <somebody.else@another-company.example>\r\n"                             \
    "Subject: The minutes of yesterday, and what is to be done about them until Friday\r\n"     \
    "Date: Sun, 22 Nov 2026 05:53:59 +0000\r\n"                                                 \
    "Message-ID: <20261122055359.4711@mail.some-company.example>\r\n"                           \
    "User-Agent: Some Mail Program 117.3 (X11; Linux x86_64)\r\n"                               \
    "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8; format=flowed\r\n"           \
    "Content-Transfer-Encoding: 8bit\r\nX-Spam-Status: No, score=-1.9 required=5.0\r\n"         \
    "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=some-company.example; s=k1;\r\n"   \
    "\tbh=g3zLYH4xKxcPrHOD18z9YfpQcnk/GaJedfustWU5uGs=; h=from:to:subject:date;\r\n"            \
    "\tb=V3NCqhzP7Zn0qqdT8NpLCZpTg0cV1Y5mF9b2z6x4kXc1rJ9yQk0tGm2l8n5w7u3e\r\n\r\n"
#define MICRO_POLICY                                                              \
    "version: STSv1\r\nmode: enforce\r\nmx: mx1.another-company.example\r\n"      \
    "mx: mx2.another-company.example\r\nmx: *.backup.another-company.example\r\n" \
    "max_age: 604800\r\n"

/* text: a string; "" with names > 0: a list of so many names; NULL: a number. */
struct micro_field {
    const char *key; /* NULL: the end */
    const char *text;
    int64_t number;
    size_t names;
};

/* The first row's key is the event.  The fields of docs/log.md that a mail has which an MX took over
 * TLS 1.3 with a verified certificate. */
extern const struct micro_field micro_attempt[], micro_result[], micro_session[];

struct record *micro_record(const struct micro_field *fields);

#endif
