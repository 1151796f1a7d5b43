/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What tests of ip(7) and ipv6(7) sockets have in common. */
#ifndef ZDTM_INET_H
#define ZDTM_INET_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* The loopback address of AF_INET or AF_INET6 with port 0, which bind(2) replaces; returns what to pass as its length. */
static inline socklen_t loopback(int family, struct sockaddr_storage *name)
{
	*name = (struct sockaddr_storage){ .ss_family = family };
	if (family == AF_INET)
		((struct sockaddr_in *)name)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		((struct sockaddr_in6 *)name)->sin6_addr = in6addr_loopback;
	return family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

#endif
