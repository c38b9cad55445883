/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      rdata_internal - reading the data of DNS records
 *
 * DESCRIPTION
 *      Any bytes go in; what is malformed is told, nothing is guessed.  The rdata is uncompressed, as
 *      libunbound gives it.  Pure; any thread.
 */
#ifndef TLSMEND_NET_RDATA_INTERNAL_H
#define TLSMEND_NET_RDATA_INTERNAL_H

#include "proxy/base/addr.h"
#include "proxy/policy/mxset.h"

#define DNS_NAME_MAX 256 /* 253 characters and a NUL, rounded */

/* A whole uncompressed name as text: lower case, without the last dot, "" for the root.  *used: its bytes
 * in `wire`.  False for a broken name, and for labels that a host name cannot have (a dot, blanks,
 * controls, 8-bit bytes, backslash): no such name can be connected to or compared safely. */
bool rdata_name(struct slice wire, char out[DNS_NAME_MAX], size_t *used);

bool rdata_address(struct slice rdata, struct addr *out); /* A: 4 bytes, AAAA: 16; port 0 */
bool rdata_mx(struct slice rdata, struct mx_record *out);
bool rdata_txt_ok(struct slice rdata); /* one or more character strings that fill it exactly */

/* How many CNAME records the answer section of a DNS message has; -1: the message is broken. */
int rdata_count_cnames(struct slice message);

#endif
