/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      version - which BoringSSL this was built with
 */
#ifndef TLSMEND_CERTS_VERSION_H
#define TLSMEND_CERTS_VERSION_H

const char *certs_library_version(void); /* "BoringSSL (API 17)" */

#endif
