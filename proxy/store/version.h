/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      version - which SQLite is running
 */
#ifndef TLSMEND_STORE_VERSION_H
#define TLSMEND_STORE_VERSION_H

const char *store_library_version(void); /* "3.40.1" */

#endif
