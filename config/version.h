/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      version - which libconfig this was built with
 */
#ifndef TLSMEND_CONFIG_VERSION_H
#define TLSMEND_CONFIG_VERSION_H

const char *config_library_version(void); /* "libconfig 1.5.0" */

#endif
