/* SPDX-License-Identifier: Apache-2.0 */
/* message - see message.h for the contract. */
#include "bench/message.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/mem.h"

#define MARK "\r\nX-Bench: "

size_t message_head(char out[MESSAGE_HEAD_MAX], const struct message_marks *m)
{
    return (size_t)snprintf(out, MESSAGE_HEAD_MAX,
                            "From: Bench <bench@client.lab.example>\r\n"
                            "Message-ID: <%" PRIu64 "@bench.example>\r\n"
                            "Subject: message %" PRIu64 "\r\n"
                            "X-Bench: %" PRIu64 " %zu\r\n\r\n",
                            m->id, m->id, m->id, m->size);
}

char *message_body(size_t size)
{
    char *body = mem_array(size > 0 ? size : 1, 1);

    for (size_t i = 0; i < size; ++i) {
        size_t column = i % MESSAGE_LINE;

        body[i] = column == MESSAGE_LINE - 2   ? '\r'
                  : column == MESSAGE_LINE - 1 ? '\n'
                                               : (char)('a' + (i / MESSAGE_LINE + column) % 26);
    }
    if (size >= 4) { /* whole lines, whatever the size */
        if (body[size - 3] == '\r' || body[size - 3] == '\n')
            body[size - 3] = 'z';
        if (body[size - 4] == '\r')
            body[size - 4] = 'z';
        body[size - 2] = '\r';
        body[size - 1] = '\n';
    }
    return body;
}

/* Digits up to `stop`; where it stands, NULL when there is none. */
static const char *number(const char *p, const char *end, char stop, uint64_t *out)
{
    *out = 0;
    for (; p < end && *p >= '0' && *p <= '9'; ++p)
        *out = *out * 10 + (uint64_t)(*p - '0');
    return p < end && *p == stop ? p : NULL;
}

bool message_marks(const char *head, size_t n, struct message_marks *out)
{
    const char *end = head + n;
    const char *p = memmem(head, n, MARK, strlen(MARK));
    uint64_t size = 0;

    if (p == NULL || (p = number(p + strlen(MARK), end, ' ', &out->id)) == NULL)
        return false;
    p = number(p + 1, end, '\r', &size);
    out->size = (size_t)size;
    return p != NULL;
}
