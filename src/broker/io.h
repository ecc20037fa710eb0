/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_IO_H
#define BROKER_IO_H

/* The two streams of bytes of conn.h. */
#include <tls/tls.h>

#include "conn.h"

/* Both take what they are given, once conn_new() took them. */
struct io io_socket(int fd);
struct io io_secure(int fd, struct tls_conn *tls);

#endif
