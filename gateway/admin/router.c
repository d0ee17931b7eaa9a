/* router.c - which call is meant: the table, and matching a path against it.
 *
 * Adding a call is one line of admin_routes; the first that fits counts. `*`
 * stands for one part of the path, which is decoded only after the path was cut at
 * its slashes: what a part says can never change where it ends.
 */
#include <errno.h>
#include <string.h>

#include "gateway/admin/admin_int.h"

const struct admin_route admin_routes[] = {
	{ EVHTTP_REQ_GET, "/v1/version", admin_get_version },
	{ EVHTTP_REQ_GET, "/v1/status", admin_get_status },
	{ EVHTTP_REQ_GET, "/v1/metrics", admin_get_metrics },
	{ EVHTTP_REQ_GET, "/v1/studies", admin_get_studies },
	{ EVHTTP_REQ_GET, "/v1/studies/*", admin_get_study },
	{ EVHTTP_REQ_GET, "/v1/studies/*/instances", admin_get_instances },
	{ EVHTTP_REQ_GET, "/v1/studies/*/route", admin_get_route },
	{ EVHTTP_REQ_POST, "/v1/studies/*/verify", admin_post_verify },
	{ EVHTTP_REQ_POST, "/v1/studies/*/*", admin_post_study },
	{ EVHTTP_REQ_GET, "/v1/instances/*/file", admin_get_file },
	{ EVHTTP_REQ_GET, "/v1/destinations", admin_get_destinations },
	{ EVHTTP_REQ_POST, "/v1/destinations/*/test", admin_post_test },
	{ EVHTTP_REQ_POST, "/v1/destinations/*/*", admin_post_destination },
	{ EVHTTP_REQ_GET, "/v1/peers", admin_get_peers },
	{ EVHTTP_REQ_GET, "/v1/associations", admin_get_associations },
	{ EVHTTP_REQ_GET, "/v1/doctor", admin_get_doctor },
	{ EVHTTP_REQ_GET, "/v1/reconciliation", admin_get_reconciliation },
	{ EVHTTP_REQ_POST, "/v1/reconciliation", admin_post_reconciliation },
	{ EVHTTP_REQ_POST, "/v1/reload", admin_post_reload },
	{ 0 },
};

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static int
decode_part(const char *s, size_t len, char ret[ADMIN_TEXT_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)s[i];

		if (c == '%') {
			int high = i + 2 < len ? hex_value(s[i + 1]) : -1;
			int low = i + 2 < len ? hex_value(s[i + 2]) : -1;

			if (high < 0 || low < 0)
				return -EINVAL;
			c = high << 4 | low;
			i += 2;
		}
		if (c == '\0' || n + 1 >= ADMIN_TEXT_MAX)
			return -EINVAL;
		ret[n++] = (char)c;
	}
	ret[n] = '\0';
	return n > 0 ? 0 : -EINVAL;
}

/* 1 when the path has the pattern's form, 0 when not, -EINVAL. */
static int
match_path(const char *pattern, const char *path,
    char part[ADMIN_PARTS][ADMIN_TEXT_MAX])
{
	const char *begin[ADMIN_PARTS];
	size_t len[ADMIN_PARTS], n = 0;

	for (; *pattern != '\0'; pattern++) {
		if (*pattern != '*') {
			if (*path++ != *pattern)
				return 0;
			continue;
		}
		begin[n] = path;
		len[n] = strcspn(path, "/");
		if (len[n] == 0)
			return 0;
		path += len[n++];
	}
	if (*path != '\0')
		return 0;
	for (size_t i = 0; i < n; i++)
		if (decode_part(begin[i], len[i], part[i]) < 0)
			return -EINVAL;
	return 1;
}

int
admin_route_find(const struct admin_route *table, enum evhttp_cmd_type method,
    const char *path, char part[ADMIN_PARTS][ADMIN_TEXT_MAX],
    admin_handler_fn **ret)
{
	int missing = -ENOENT;

	for (const struct admin_route *t = table; t->pattern != NULL; t++) {
		int r = match_path(t->pattern, path, part);

		if (r < 0)
			return r;
		if (r > 0 && t->method == method) {
			*ret = t->fn;
			return 0;
		}
		if (r > 0)
			missing = -EPERM;
	}
	return missing;
}
