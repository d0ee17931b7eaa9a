/* network.c - addresses and networks, of which an IPv4 address written the IPv6
 * way (::ffff:10.1.2.3) is the same as the IPv4 one.
 */
#include <errno.h>
#include <string.h>

#include <arpa/inet.h>

#include "config/config_int.h"

struct network {
	int family;
	unsigned bits;
	unsigned char addr[16];
};

static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

static unsigned
family_bits(int family)
{
	return family == AF_INET ? 32 : 128;
}

static int
parse_host(const char *s, struct network *ret)
{
	struct network net = { 0 };

	if (inet_pton(AF_INET, s, net.addr) == 1)
		net.family = AF_INET;
	else if (inet_pton(AF_INET6, s, net.addr) == 1)
		net.family = AF_INET6;
	else
		return -EINVAL;
	net.bits = family_bits(net.family);
	*ret = net;
	return 0;
}

static void
unmap(struct network *net)
{
	if (net->family != AF_INET6 || net->bits < 96 ||
	    memcmp(net->addr, mapped, sizeof(mapped)) != 0)
		return;
	net->family = AF_INET;
	net->bits -= 96;
	memmove(net->addr, net->addr + 12, 4);
	memset(net->addr + 4, 0, 12);
}

static bool
same_prefix(const unsigned char *a, const unsigned char *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

/* 10.1.2.3/24 is refused: was the host meant, or all of the network? */
static bool
tail_is_zero(const struct network *net)
{
	unsigned i;

	for (i = net->bits; i < family_bits(net->family); i++)
		if (net->addr[i / 8] & (0x80u >> (i % 8)))
			return false;
	return true;
}

static int
parse_network(const char *s, struct network *ret)
{
	const char *slash = strchr(s, '/');
	char host[INET6_ADDRSTRLEN];
	struct network net;
	uint64_t bits;
	size_t len = slash != NULL ? (size_t)(slash - s) : strlen(s);

	if (len >= sizeof(host))
		return -EINVAL;
	memcpy(host, s, len);
	host[len] = '\0';
	if (parse_host(host, &net) < 0)
		return -EINVAL;
	if (slash != NULL) {
		if (config_uint_parse(slash + 1, &bits) < 0 || bits > net.bits)
			return -EINVAL;
		net.bits = (unsigned)bits;
	}
	if (!tail_is_zero(&net))
		return -EINVAL;
	unmap(&net);
	*ret = net;
	return 0;
}

/* getnameinfo() adds the interface to link-local addresses. */
static int
parse_address(const char *s, struct network *ret)
{
	char host[INET6_ADDRSTRLEN];
	size_t len = strcspn(s, "%");

	if (len >= sizeof(host))
		return -EINVAL;
	memcpy(host, s, len);
	host[len] = '\0';
	if (parse_host(host, ret) < 0)
		return -EINVAL;
	unmap(ret);
	return 0;
}

bool
config_network_ok(const char *network)
{
	struct network net;

	return parse_network(network, &net) == 0;
}

bool
config_network_has(const char *network, const char *address)
{
	struct network net, host;

	if (parse_network(network, &net) < 0 || parse_address(address, &host) < 0)
		return false;
	return net.family == host.family &&
	    same_prefix(net.addr, host.addr, net.bits);
}

int
config_network_bits(const char *network)
{
	struct network net;
	int r;

	r = parse_network(network, &net);
	return r < 0 ? r : (int)net.bits;
}

bool
config_network_same(const char *a, const char *b)
{
	struct network na, nb;

	return parse_network(a, &na) == 0 && parse_network(b, &nb) == 0 &&
	    na.family == nb.family && na.bits == nb.bits &&
	    same_prefix(na.addr, nb.addr, na.bits);
}

bool
config_address_ok(const char *address)
{
	struct network net;

	return parse_host(address, &net) == 0;
}
