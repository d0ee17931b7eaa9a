/* check.c - what no option can tell by itself: texts inside lists, combinations
 * within a section, and names that one section uses of another.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>

#include "config/config_int.h"
#include "gateway/base/cleanup.h"

#define ZONES	    "/usr/share/zoneinfo/"
#define KNOWN_BYTES 2048

/* Every text of a list that is not ok, with what is wanted instead. */
static void
check_strings(struct config_check *c, const char *option,
    const struct config_strings *list, bool (*ok)(const char *),
    const char *want)
{
	size_t i;

	for (i = 0; i < list->n; i++)
		if (!ok(list->v[i]))
			config_item_problem(c, option, i,
			    "found `%.64s`; wanted %s", list->v[i], want);
}

static bool
has_string(const struct config_strings *list, size_t n, const char *s)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strcmp(list->v[i], s) == 0)
			return true;
	return false;
}

static void
check_repeats(struct config_check *c, const char *option,
    const struct config_strings *list)
{
	size_t i;

	for (i = 1; i < list->n; i++)
		if (has_string(list, i, list->v[i]))
			config_item_problem(c, option, i, "`%.64s` is listed twice",
			    list->v[i]);
}

/* ---- gateway ----------------------------------------------------------- */

static const char *
titles_option(const struct config_check *c)
{
	return config_node_get(c->at, "ae_title") != NULL ? "ae_title" :
							    "ae_titles";
}

static bool
is_any4(const char *address)
{
	return address == NULL || config_network_same(address, "0.0.0.0");
}

static bool
is_any6(const char *address)
{
	return address == NULL || config_network_same(address, "::");
}

/* Would the second bind() fail after the first? */
static bool
sockets_clash(const struct config_listen *a, const struct config_listen *b)
{
	bool v6a, v6b;

	if (a->port != b->port)
		return false;
	if (a->address == NULL || b->address == NULL)
		return true;
	v6a = strchr(a->address, ':') != NULL;
	v6b = strchr(b->address, ':') != NULL;
	if (v6a != v6b)
		return config_network_same(a->address, b->address);
	if (v6a ? is_any6(a->address) || is_any6(b->address) :
		  is_any4(a->address) || is_any4(b->address))
		return true;
	return config_network_same(a->address, b->address);
}

static void
check_sockets(struct config_check *c, const struct config_list *listen)
{
	const struct node *list = config_node_get(c->at, "listen");
	size_t i, j;

	if (listen->n == 0)
		config_problem(c, 0, "listen",
		    "is empty; wanted at least one, such as `- {port: 11112}`");
	for (i = 0; i < listen->n; i++) {
		const struct config_listen *b = listen->v[i];

		for (j = 0; j < i; j++) {
			const struct config_listen *a = listen->v[j];

			if (!sockets_clash(a, b))
				continue;
			config_node_problem(c, config_node_item(list, i),
			    "port %" PRIu64 " of this address is already taken "
			    "by line %u", b->port, a->line);
			break;
		}
	}
}

/* A zone is a file, and its name must not lead anywhere else. */
static bool
zone_exists(const char *zone)
{
	AUTO_FREE char *path = NULL;
	struct stat st;

	if (zone[0] == '/' || strstr(zone, "..") != NULL)
		return false;
	path = xasprintf(ZONES "%s", zone);
	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

void
config_check_gateway(struct config_check *c, const void *section)
{
	const struct config_gateway *g = section;
	const char *titles = titles_option(c);
	size_t path_max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

	if (g->ae_titles.n == 0)
		config_problem(c, g->line, titles,
		    "is empty; wanted at least one title, such as CAUSEWAY");
	check_strings(c, titles, &g->ae_titles, config_title_ok,
	    "an AE title of 1 to 16 characters, such as CAUSEWAY");
	check_repeats(c, titles, &g->ae_titles);
	check_sockets(c, &g->listen);
	if (strlen(g->control_socket) > path_max)
		config_problem(c, g->line, "control_socket",
		    "is longer than the %zu bytes of a socket's path", path_max);
	if (g->timezone != NULL && !zone_exists(g->timezone))
		config_problem(c, g->line, "timezone",
		    "found `%.64s`, which is no file below " ZONES "; wanted a "
		    "time zone, such as Europe/Berlin", g->timezone);
}

void
config_check_listen(struct config_check *c, const void *section)
{
	const struct config_listen *l = section;

	if (l->address != NULL && !config_address_ok(l->address))
		config_problem(c, l->line, "address",
		    "found `%.64s`; wanted an address of this machine in "
		    "figures, such as 10.1.2.3 or \"::1\"", l->address);
}

void
config_check_server_tls(struct config_check *c, const void *section)
{
	const struct config_server_tls *tls = section;

	if (tls->crl_file != NULL && tls->client_ca_file == NULL)
		config_problem(c, tls->line, "crl_file",
		    "has no effect without `client_ca_file`; write both or "
		    "none");
}

/* ---- peers, spool, study, routes --------------------------------------- */

/* An empty list would mean any address, which nobody writes on purpose. */
static void
check_peer_address(struct config_check *c, const struct config_peer *p)
{
	if (p->address.n == 0 && config_node_get(c->at, "address") != NULL)
		config_problem(c, p->line, "address",
		    "is an empty list; leave it out for any address");
	else if (p->address.n == 0 && strcmp(p->ae_title, "*") == 0)
		config_problem(c, p->line, "address",
		    "is missing; a peer of any title wants an address or a "
		    "network, such as 10.1.2.0/24");
	check_strings(c, "address", &p->address, config_network_ok,
	    "an address or a network with nothing behind its prefix, such as "
	    "10.1.2.7 or 10.1.2.0/24");
	check_repeats(c, "address", &p->address);
}

void
config_check_peer(struct config_check *c, const void *section)
{
	const struct config_peer *p = section;

	check_peer_address(c, p);
	check_strings(c, "transfer_syntaxes", &p->transfer_syntaxes,
	    config_uid_ok, "the UID of a transfer syntax, such as "
	    "1.2.840.10008.1.2.1");
	check_repeats(c, "transfer_syntaxes", &p->transfer_syntaxes);
	if (p->assume_charset != NULL && !config_charset_ok(p->assume_charset))
		config_problem(c, p->line, "assume_charset",
		    "found `%.64s`; wanted a term of (0008,0005), such as "
		    "ISO_IR 100", p->assume_charset);
}

static void
print_size(char text[32], uint64_t bytes)
{
	struct buf b = BUF_INIT(64);

	config_size_print(&b, bytes);
	(void)snprintf(text, 32, "%s", b.data);
	buf_free(&b);
}

/* Only where the directory stands already: its parent may be another disk. */
static void
check_reserve(struct config_check *c, const struct config_spool *s)
{
	struct statvfs fs;
	char have[32], want[32];
	uint64_t size;

	if (statvfs(s->directory, &fs) < 0)
		return;
	size = (uint64_t)fs.f_blocks * fs.f_frsize;
	if (s->reserve < size / 2)
		return;
	print_size(have, size >> 20 << 20);
	print_size(want, s->reserve);
	config_problem(c, s->line, "reserve",
	    "%s on a disk of %s would refuse everything, because associations "
	    "are rejected below twice the reserve; wanted less", want, have);
}

void
config_check_spool(struct config_check *c, const void *section)
{
	const struct config_spool *s = section;

	if (s->keep_index_ms < s->keep_delivered_ms)
		config_problem(c, s->line, "keep_index",
		    "is shorter than `keep_delivered`; wanted at least as "
		    "long, since the index names what is kept");
	check_reserve(c, s);
}

void
config_check_study(struct config_check *c, const void *section)
{
	const struct config_study *s = section;

	if (s->complete_at_most_ms < s->complete_after_ms)
		config_problem(c, s->line, "complete_at_most",
		    "is shorter than `complete_after`; wanted at least as "
		    "long");
}

void
config_check_route(struct config_check *c, const void *section)
{
	const struct config_route *r = section;
	const char *title = "a title, perhaps with * and ?, such as CT1 or "
			    "\"MR*\"";

	check_strings(c, "from", &r->from, config_title_pattern_ok, title);
	check_strings(c, "called", &r->called, config_title_pattern_ok, title);
	check_strings(c, "modality", &r->modality, config_code_ok,
	    "a modality in capitals, such as CT");
	check_strings(c, "sop_class", &r->sop_class, config_sop_class_ok,
	    "the UID or the keyword of a SOP class, such as CTImageStorage");
	check_strings(c, "body_part", &r->body_part, config_pattern_ok,
	    "a body part, perhaps with * and ?, such as HEAD");
	check_strings(c, "station", &r->station, config_pattern_ok,
	    "a station name, perhaps with * and ?, such as \"CT_ER*\"");
	check_strings(c, "description", &r->description, config_pattern_ok,
	    "a description, perhaps with * and ?, such as \"*trauma*\"");
}

/* ---- destinations ------------------------------------------------------ */

void
config_check_proxy(struct config_check *c, const void *section)
{
	const struct config_proxy *p = section;
	const char *host = strstr(p->url, "://") + 3;

	if (strchr(host, '/') != NULL)
		config_problem(c, p->line, "url",
		    "holds a path; wanted a host and a port, such as "
		    "http://proxy.local:3128");
	if (p->user != NULL && p->password_file == NULL)
		config_problem(c, p->line, "user",
		    "has no effect without `password_file`; write both or none");
	if (p->user == NULL && p->password_file != NULL)
		config_problem(c, p->line, "password_file",
		    "has no effect without `user`; write both or none");
	if (p->user != NULL && strchr(p->user, ':') != NULL)
		config_problem(c, p->line, "user",
		    "holds a colon, which no user of a proxy may hold");
	if (p->ca_file != NULL && strncmp(p->url, "https:", 6) != 0)
		config_problem(c, p->line, "ca_file",
		    "has no effect on a proxy that is reached by http://");
}

void
config_check_window(struct config_check *c, const void *section)
{
	const struct config_window *w = section;

	if (w->days == 0)
		config_problem(c, w->line, "days",
		    "is an empty list; leave it out for every day");
	if (w->from == w->to)
		config_problem(c, w->line, "to",
		    "is the same as `from`; wanted \"00:00\" and \"24:00\" for "
		    "the whole day");
}

/* Whoever pauses a destination holds it; this would owe for ever, unseen. */
void
config_check_destination(struct config_check *c, const void *section)
{
	const struct config_destination *d = section;
	size_t i;

	if (d->windows.n > CONFIG_WINDOWS_MAX)
		config_problem(c, d->line, "windows",
		    "are %zu; wanted at most %d", d->windows.n,
		    CONFIG_WINDOWS_MAX);
	if (d->rate != CONFIG_RATE_NONE)
		return;
	for (i = 0; i < d->windows.n; i++)
		if (((const struct config_window *)d->windows.v[i])->rate !=
		    CONFIG_RATE_NONE)
			return;
	config_problem(c, d->line, "rate",
	    "is `none` at all times, so nothing would ever be sent; wanted a "
	    "window with a rate");
}

/* ---- between sections -------------------------------------------------- */

static void
check_destination_names(struct config_check *c, const struct node *root,
    const struct config *cfg)
{
	const struct node *list = config_node_get(root, "destinations");
	size_t i, j;

	for (i = 1; i < cfg->destinations.n; i++) {
		const struct config_destination *b = cfg->destinations.v[i];

		for (j = 0; j < i && b->name != NULL; j++) {
			const struct config_destination *a =
			    cfg->destinations.v[j];

			if (a->name == NULL || strcmp(a->name, b->name) != 0)
				continue;
			config_node_problem(c,
			    config_node_get(config_node_item(list, i), "name"),
			    "`%s` is already the name of the destination in "
			    "line %u; wanted another", b->name, a->line);
			break;
		}
	}
}

/* False when a name could not be read: it might be the one that is missed. */
static bool
list_known(const struct config *cfg, struct buf *known)
{
	size_t i;

	for (i = 0; i < cfg->destinations.n; i++) {
		const struct config_destination *d = cfg->destinations.v[i];

		if (d->name == NULL)
			return false;
		(void)buf_printf(known, "%s%s", i > 0 ? ", " : "", d->name);
	}
	return true;
}

static void
check_route_targets(struct config_check *c, const struct node *node,
    const struct config *cfg, const struct config_route *route,
    const char *known)
{
	const struct node *to = config_node_get(node, "to"), *item;
	size_t i;

	for (i = 0; i < route->to.n; i++) {
		const char *name = route->to.v[i];

		if (name[0] == '\0' ||
		    config_destination_find(cfg, name) != NULL)
			continue;
		item = config_node_item(to, i);
		config_node_problem(c, item != NULL ? item : to,
		    "no destination is named `%.64s`; %s%s", name,
		    known != NULL ? "known: " : "none is configured",
		    known != NULL ? known : "");
	}
}

static void
check_routes(struct config_check *c, const struct node *root,
    const struct config *cfg)
{
	const struct node *list = config_node_get(root, "routes");
	struct buf known = BUF_INIT(KNOWN_BYTES);
	size_t i;

	if (list_known(cfg, &known))
		for (i = 0; i < cfg->routes.n; i++)
			check_route_targets(c, config_node_item(list, i), cfg,
			    cfg->routes.v[i], known.data);
	buf_free(&known);
}

static bool
addresses_meet(const struct config_strings *a, const struct config_strings *b)
{
	size_t i, j;

	if (a->n == 0 && b->n == 0)
		return true;
	for (i = 0; i < a->n; i++)
		for (j = 0; j < b->n; j++)
			if (config_network_same(a->v[i], b->v[j]))
				return true;
	return false;
}

static const struct config_peer *
find_same_peer(const struct config *cfg, size_t i)
{
	const struct config_peer *p = cfg->peers.v[i], *other;
	size_t j;

	for (j = 0; j < i && p->ae_title != NULL; j++) {
		other = cfg->peers.v[j];
		if (other->ae_title != NULL &&
		    strcmp(other->ae_title, p->ae_title) == 0 &&
		    addresses_meet(&p->address, &other->address))
			return other;
	}
	return NULL;
}

static bool
listens_with_tls(const struct config *cfg, bool proved)
{
	size_t i;

	for (i = 0; i < cfg->gateway->listen.n; i++) {
		const struct config_listen *l = cfg->gateway->listen.v[i];

		if (l->tls != NULL && (!proved || l->tls->client_ca_file != NULL))
			return true;
	}
	return false;
}

static void
check_peer_tls(struct config_check *c, const struct node *node,
    const struct config *cfg, const struct config_peer *p)
{
	const struct node *tls = config_node_get(node, "tls");

	if (p->tls == NULL || tls == NULL)
		return;
	if (p->tls->required && !listens_with_tls(cfg, false))
		config_node_problem(c, tls, "requires TLS, but nothing in "
		    "`gateway.listen` has `tls`");
	else if (p->tls->subject != NULL && !listens_with_tls(cfg, true))
		config_node_problem(c, tls, "wants a subject, but nothing in "
		    "`gateway.listen` asks for certificates by "
		    "`client_ca_file`");
	else if (p->tls->subject != NULL && !p->tls->required)
		config_node_problem(c, tls, "wants a subject and lets plain "
		    "connections past it; leave `required: false` out");
}

static void
check_peers(struct config_check *c, const struct node *root,
    const struct config *cfg)
{
	const struct node *node, *list = config_node_get(root, "peers");
	const struct config_peer *same;
	size_t i;

	for (i = 0; i < cfg->peers.n; i++) {
		node = config_node_item(list, i);
		check_peer_tls(c, node, cfg, cfg->peers.v[i]);
		same = find_same_peer(cfg, i);
		if (same != NULL)
			config_node_problem(c, node, "title and address are "
			    "those of the peer in line %u; wanted one entry",
			    same->line);
	}
}

void
config_check_whole(struct config_check *c, const struct node *root,
    const struct config *cfg)
{
	check_destination_names(c, root, cfg);
	check_routes(c, root, cfg);
	check_peers(c, root, cfg);
}
