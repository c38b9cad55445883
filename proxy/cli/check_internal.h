/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      check - what `tlsmend check` finds out beside the settings themselves
 *
 * DESCRIPTION
 *      Each prints what is well as a line "# ..." and adds a line to *warnings for what is not; mail goes on
 *      either way, so the configuration stays good.
 */
#ifndef TLSMEND_CLI_CHECK_INTERNAL_H
#define TLSMEND_CLI_CHECK_INTERNAL_H

#include "config/settings.h"

/* The store: can the user that tlsmend runs as write it, and is it sound? */
void check_lasting(const struct settings *s, struct buf *warnings);
/* C-DANE-01: is DANE on?  Asks the DNS for the root, and waits a moment for the answer. */
void check_dane(const struct settings *s, struct buf *warnings);

#endif
