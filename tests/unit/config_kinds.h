/* config_kinds.h - two kinds of destination and two of credential, made up, so
 * that the configuration can be tested without the real ones.
 */
#ifndef CW_TESTS_UNIT_CONFIG_KINDS_H
#define CW_TESTS_UNIT_CONFIG_KINDS_H

#include <stddef.h>
#include <string.h>

#include "config/config.h"

#define FAKE_CERTIFICATE "/etc/passwd"	/* anything that everybody can read */

struct fake_basic { unsigned line; char *user, *password_file; };
struct fake_none { unsigned line; };
struct fake_web {
	unsigned line;
	char *url;
	struct config_client_tls *tls;
	struct config_proxy *proxy;
	struct config_choice credential;
	uint64_t connections, max_request, timeout_ms;
	int on_conflict;
};
struct fake_dir { unsigned line; char *path; struct config_strings tags; };

static const char *const fake_conflict_words[] = { "refuse", "replace", NULL };

static const struct config_option fake_basic_options[] = {
	{ .name = "user", .type = CONFIG_STRING, .required = true,
	    .offset = offsetof(struct fake_basic, user), .help = "whom we are" },
	{ .name = "password_file", .type = CONFIG_FILE,
	    .offset = offsetof(struct fake_basic, password_file),
	    .help = "first line: the password" },
	{ 0 },
};
static const struct config_option fake_none_options[] = { { 0 } };
static const struct config_option fake_web_options[] = {
	{ .name = "url", .type = CONFIG_URL, .required = true,
	    .offset = offsetof(struct fake_web, url), .help = "where it is" },
	{ .name = "tls", .type = CONFIG_SECTION,
	    .section = &config_client_tls_section,
	    .offset = offsetof(struct fake_web, tls), .help = "whom to trust" },
	{ .name = "proxy", .type = CONFIG_SECTION,
	    .section = &config_proxy_section,
	    .offset = offsetof(struct fake_web, proxy), .help = "between" },
	{ .name = "credential", .type = CONFIG_KIND,
	    .kinds = config_credential_kinds,
	    .offset = offsetof(struct fake_web, credential),
	    .help = "who we are" },
	{ .name = "connections", .type = CONFIG_UINT, .fallback = "4",
	    .min = 1, .max = 32,
	    .offset = offsetof(struct fake_web, connections),
	    .help = "at one time" },
	{ .name = "max_request", .type = CONFIG_SIZE, .fallback = "100MiB",
	    .min = 1, .offset = offsetof(struct fake_web, max_request),
	    .help = "bytes" },
	{ .name = "timeout", .type = CONFIG_DURATION, .max = 60000,
	    .offset = offsetof(struct fake_web, timeout_ms), .help = "wait" },
	{ .name = "on_conflict", .type = CONFIG_ENUM, .fallback = "refuse",
	    .choices = fake_conflict_words,
	    .offset = offsetof(struct fake_web, on_conflict),
	    .help = "refuse | replace" },
	{ 0 },
};
static const struct config_option fake_dir_options[] = {
	{ .name = "path", .type = CONFIG_DIR, .required = true,
	    .offset = offsetof(struct fake_dir, path), .help = "where" },
	{ .name = "tags", .type = CONFIG_STRINGS, .fallback = "[a, b]",
	    .offset = offsetof(struct fake_dir, tags), .help = "words" },
	{ 0 },
};

static void
check_fake_web(struct config_check *c, const void *section)
{
	const struct fake_web *w = section;

	if (strncmp(w->url, "http:", 5) == 0 && w->tls != NULL)
		config_problem(c, w->line, "tls",
		    "has no effect on http; wanted a URL of https");
	if (w->connections > 16)
		config_problem(c, w->line, "", "too much at once");
}

static const struct config_kind fake_web = { "fakeweb",
	{ "destinations[]", sizeof(struct fake_web), fake_web_options,
	    check_fake_web } };
static const struct config_kind fake_dir = { "fakedir",
	{ "destinations[]", sizeof(struct fake_dir), fake_dir_options, NULL } };
static const struct config_kind fake_basic = { "basic",
	{ "credential", sizeof(struct fake_basic), fake_basic_options, NULL } };
static const struct config_kind fake_none = { "none",
	{ "credential", sizeof(struct fake_none), fake_none_options, NULL } };

static const struct config_kind *const fake_destinations[] = { &fake_web,
	&fake_dir, NULL };
static const struct config_kind *const fake_credentials[] = { &fake_none,
	&fake_basic, NULL };

#endif
