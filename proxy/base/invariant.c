/* SPDX-License-Identifier: Apache-2.0 */
/* invariant - see invariant.h for the contract. */
#include "proxy/base/invariant.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void invariant_failed(const char *file, int line, const char *what)
{
    fprintf(stderr, "tlsmend: %s:%d: broken invariant: %s\n", file, line, what);
    abort();
}

void *obj_check(void *p, uint32_t magic, const char *file, int line)
{
    if (p == NULL)
        invariant_failed(file, line, "object pointer is NULL");
    if (*(const uint32_t *)p != magic)
        invariant_failed(file, line, "object has the wrong magic");
    return p;
}
