/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_rdata - data of DNS records: what is accepted as a name is one, and survives being read again
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/net/rdata_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds)
{
    if (!holds)
        abort();
}

/* Wire form of a text name; what rdata_name() gave must be readable again and be the same. */
static void read_again(const char *text)
{
    char wire[DNS_NAME_MAX + 2], again[DNS_NAME_MAX];
    size_t n = 0, used;

    while (*text != '\0') {
        size_t label = strcspn(text, ".");

        must(label > 0 && label <= 63);
        wire[n++] = (char)label;
        memcpy(wire + n, text, label);
        n += label;
        text += label + (text[label] == '.');
    }
    wire[n++] = '\0';
    must(n <= 255);
    must(rdata_name(slice_of(wire, n), again, &used) && used == n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice s = slice_of(data, size);
    char name[DNS_NAME_MAX];
    struct mx_record mx;
    struct addr a;
    size_t used;

    if (rdata_name(s, name, &used)) {
        must(used <= size && strlen(name) <= 253 && strpbrk(name, " \\\r\n\t") == NULL);
        read_again(name);
    }
    if (rdata_mx(s, &mx))
        read_again(mx.host);
    must(rdata_address(s, &a) == (size == 4 || size == 16));
    (void)rdata_txt_ok(s);
    must(rdata_count_cnames(s) < 65536);
    return 0;
}
