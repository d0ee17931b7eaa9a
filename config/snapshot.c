/* snapshot.c - loading a file into a snapshot, and counting who holds it.
 *
 * The last reference may be dropped by any thread, so the count is atomic; the
 * rest of a snapshot is written only before anybody else can see it.
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <string.h>

#include <fcntl.h>

#include "config/config_int.h"
#include "gateway/base/cleanup.h"
#include "gateway/base/fdio.h"

#define OPTION_BYTES (4u << 20)

struct snapshot {
	struct config config;	/* first: what is handed out */
	atomic_uint refs;
	struct config_arena arena;
};

static const struct config_kind *const no_kinds[] = { NULL };

/* Set once before the first load, read by every load after. */
static const struct config_kind *const *destination_kinds = no_kinds;
static const struct config_kind *const *credential_kinds = no_kinds;

void
config_set_kinds(const struct config_kind *const *destinations,
    const struct config_kind *const *credentials)
{
	destination_kinds = destinations != NULL ? destinations : no_kinds;
	credential_kinds = credentials != NULL ? credentials : no_kinds;
}

const struct config_kind *const *
config_destination_kinds(void)
{
	return destination_kinds;
}

const struct config_kind *const *
config_credential_kinds(void)
{
	return credential_kinds;
}

static void
free_snapshot(struct snapshot *s)
{
	config_arena_free(&s->arena);
	free(s);
}

/* Absolute, so that a later chdir() changes nothing. */
static char *
folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	AUTO_FREE char *folder = NULL;
	char *absolute;

	if (slash == NULL)
		folder = xstrdup(".");
	else if (slash == path)
		folder = xstrdup("/");
	else
		folder = xstrndup(path, (size_t)(slash - path));
	absolute = realpath(folder, NULL);
	return absolute != NULL ? absolute : TAKE_PTR(folder);
}

static void
read_document(struct config_check *c, const char *text, size_t len,
    struct config *cfg)
{
	const struct node *root = config_document(c, text, len, 1);

	if (root == NULL)
		return;
	if (root->type != NODE_SECTION) {
		config_line_problem(c, root->line, "the file is no set of "
		    "options; wanted lines such as `access: listed`");
		return;
	}
	config_read_section(c, root, &config_root_section, cfg);
	cfg->unrouted_written = config_node_get(root, "unrouted") != NULL;
	config_check_whole(c, root, cfg);
}

int
config_load_text(const char *path, const char *text, size_t len,
    const struct config **ret, struct buf *problems)
{
	AUTO_FREE char *folder = folder_of(path);
	struct snapshot *s = xcalloc(1, sizeof(*s));
	struct config_check c = { .file = path, .dir = folder,
		.keep = &s->arena };
	bool ok;

	atomic_init(&s->refs, 1);
	read_document(&c, text, len, &s->config);
	ok = c.n == 0;
	config_problems_add(&c, problems);
	config_check_free(&c);
	if (!ok) {
		free_snapshot(s);
		return -EINVAL;
	}
	*ret = &s->config;
	return 0;
}

int
config_load(const char *path, const struct config **ret, struct buf *problems)
{
	AUTO_FREE char *text = NULL;
	size_t len;
	int r;

	r = fdio_slurp(AT_FDCWD, path, CONFIG_FILE_MAX, &text, &len);
	if (r == -EFBIG) {
		(void)buf_printf(problems, "%s:1: the file is larger than %u "
		    "KiB; no configuration is\n", path, CONFIG_FILE_MAX >> 10);
		return -EINVAL;
	}
	if (r < 0) {
		(void)buf_printf(problems, "%s: cannot be read: %s\n", path,
		    strerror(-r));
		return r;
	}
	return config_load_text(path, text, len, ret, problems);
}

const struct config *
config_ref(const struct config *c)
{
	struct snapshot *s = (struct snapshot *)(uintptr_t)c;
	unsigned before = atomic_fetch_add_explicit(&s->refs, 1,
	    memory_order_relaxed);

	assert(before > 0 && before < UINT_MAX);
	return c;
}

void
config_unref(const struct config *c)
{
	struct snapshot *s = (struct snapshot *)(uintptr_t)c;
	unsigned before;

	if (c == NULL)
		return;
	before = atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel);
	assert(before > 0);
	if (before == 1)
		free_snapshot(s);
}

static int
options_differ(const struct config_option *o, const void *old, const void *new,
    bool *ret)
{
	struct buf a = BUF_INIT(OPTION_BYTES), b = BUF_INIT(OPTION_BYTES);
	int r;

	r = config_print_option(o, old, &a);
	if (r == 0)
		r = config_print_option(o, new, &b);
	if (r == 0)
		*ret = a.len != b.len ||
		    (a.len > 0 && memcmp(a.data, b.data, a.len) != 0);
	buf_free(&a);
	buf_free(&b);
	return r;
}

static int
add_restarts(const struct config_section *s, const char *prefix,
    const void *old, const void *new, struct buf *ret)
{
	const struct config_option *o;
	bool differs = false;
	int r;

	for (o = s->options; o->name != NULL; o++) {
		if (!o->restart)
			continue;
		r = options_differ(o, old, new, &differs);
		if (r < 0)
			return r;
		if (differs)
			(void)buf_printf(ret, "%s%s.%s",
			    ret->len > 0 ? ", " : "", prefix, o->name);
	}
	return buf_error(ret);
}

int
config_restart_needed(const struct config *old, const struct config *new,
    struct buf *ret)
{
	const struct config_option *o;
	int r;

	for (o = config_root_section.options; o->name != NULL; o++) {
		const void *a = (const char *)old + o->offset;
		const void *b = (const char *)new + o->offset;

		if (o->type != CONFIG_SECTION)
			continue;
		r = add_restarts(o->section, o->name, *(void *const *)a,
		    *(void *const *)b, ret);
		if (r < 0)
			return r;
	}
	return buf_add_str(ret, "");
}

const struct config_destination *
config_destination_find(const struct config *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->destinations.n; i++) {
		const struct config_destination *d = c->destinations.v[i];

		if (d->name != NULL && strcmp(d->name, name) == 0)
			return d;
	}
	return NULL;
}
