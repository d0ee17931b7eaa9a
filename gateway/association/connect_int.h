/* connect_int.h - from a name and a port to a connected socket. */
#ifndef CW_ASSOCIATION_CONNECT_INT_H
#define CW_ASSOCIATION_CONNECT_INT_H

#include <stdint.h>

#include "gateway/base/buf.h"

/* "10.1.2.3:104", "[2001:db8::1]:104" */
void connect_name(const char *host, uint16_t port, char *dst, size_t size);
/* Tries every address of the name, IPv4 and IPv6, until the deadline or until
 * cancel_fd (-1: none) is readable: -ECANCELED. address: of the peer. The socket
 * does not block. why, for people, says what to look at. */
int connect_host(const char *host, uint16_t port, int64_t deadline_ms,
    int cancel_fd, int *ret_fd, char address[static 48], struct buf *why);

#endif
