/* config_int.h - what the files of config/ share.
 *
 * Text becomes a tree of nodes with lines (document.c), the tree becomes structs
 * by the option tables (read.c, tables.c), combinations are judged (check.c), and
 * whatever is wrong gathers in a struct config_check (problem.c).
 *
 * Node trees live in the scratch arena, which ends with the load; everything a
 * snapshot points to lives in its own arena. All of it is one thread's.
 */
#ifndef CW_CONFIG_CONFIG_INT_H
#define CW_CONFIG_CONFIG_INT_H

#include "config/config.h"

#define CONFIG_FILE_MAX	 (1u << 20)	/* bytes of a file */
#define CONFIG_DEPTH_MAX 16		/* lists and sections within each other */
#define CONFIG_NODES_MAX 65536
#define CONFIG_ITEMS_MAX 4096		/* of one list */
#define CONFIG_KEYS_MAX	 256		/* of one section */
#define CONFIG_TEXT_MAX	 4096		/* bytes of one value */
#define CONFIG_SHOWN_MAX 200		/* problems of one load */

/* ---- arena.c ----------------------------------------------------------- */

struct config_arena { struct config_arena_block *blocks; };

void *config_arena_zalloc(struct config_arena *a, size_t size);
char *config_arena_strndup(struct config_arena *a, const char *s, size_t n);
void  config_arena_free(struct config_arena *a);

/* ---- document.c -------------------------------------------------------- */

enum node_type { NODE_NOTHING, NODE_TEXT, NODE_LIST, NODE_SECTION };

struct node {
	const struct node *parent;
	struct node    *next, *first, *last;
	const char     *key;	/* inside a section, else NULL */
	const char     *text;	/* NODE_TEXT: printable UTF-8 on one line */
	size_t		n;	/* children */
	unsigned	line;
	enum node_type	type;
	bool		quoted;
	bool		repeated;	/* its key was written before: reported */
};

/* NULL when the text is not YAML at all; other problems leave a tree. Lines
 * count from first_line. */
struct node *config_document(struct config_check *c, const char *text, size_t len,
    unsigned first_line);
/* In a section that does not write it; not among the section's children. */
struct node *config_node_new(struct config_check *c, const struct node *section,
    const char *key, enum node_type type);
const struct node *config_node_get(const struct node *section, const char *key);
const struct node *config_node_item(const struct node *list, size_t i);
bool config_node_is_value(const struct node *n);	/* text, and some of it */

/* ---- problem.c --------------------------------------------------------- */

struct config_check {
	const char	    *file;
	const char	    *dir;	/* absolute; where relative paths begin */
	struct config_arena *keep;	/* the snapshot's */
	struct config_arena  scratch;	/* the load's */
	const struct node   *at;	/* the section that is checked now */
	struct problem { unsigned line; const char *text; } *problems;
	size_t		     n;		/* all; at most CONFIG_SHOWN_MAX are kept */
};

/* "file:line: path.of.the.node: what". */
void config_node_problem(struct config_check *c, const struct node *n,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* In a check: element i of an option that is one text or a list of them. */
void config_item_problem(struct config_check *c, const char *option, size_t i,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void config_line_problem(struct config_check *c, unsigned line, const char *fmt,
    ...) __attribute__((format(printf, 3, 4)));
/* All of them in the order of lines. */
void config_problems_add(struct config_check *c, struct buf *b);
void config_check_free(struct config_check *c);

/* ---- describe.c -------------------------------------------------------- */

/* What a node is and what an option wants, for people. */
void config_describe_found(const struct node *n, struct buf *b);
void config_describe_wanted(const struct config_option *o, struct buf *b);
/* The entry nearest to a misspelt name, NULL if none is near. */
const char *config_suggest(const char *name, const char *const *known, size_t n);

/* ---- field.c, read.c --------------------------------------------------- */

/* Any option but sections, lists and kinds. */
void config_read_value(struct config_check *c, const struct config_option *o,
    const struct node *n, void *field);
/* "found ...; wanted ..."; why may be NULL. */
void config_report_wrong(struct config_check *c, const struct config_option *o,
    const struct node *n, const char *why);
/* Fills *base by the section's tables; problems are in c. */
void config_read_section(struct config_check *c, const struct node *n,
    const struct config_section *s, void *base);

/* ---- tables.c, check.c ------------------------------------------------- */

extern const struct config_section config_root_section;
/* An earlier option of the table has this one's offset. */
bool config_option_again(const struct config_option *options,
    const struct config_option *o);
/* Not NULL: a section whose `type` selects more options beside its own. */
const struct config_option *config_kind_option(const struct config_section *s);

void config_check_gateway(struct config_check *c, const void *section);
void config_check_listen(struct config_check *c, const void *section);
void config_check_server_tls(struct config_check *c, const void *section);
void config_check_peer(struct config_check *c, const void *section);
void config_check_spool(struct config_check *c, const void *section);
void config_check_study(struct config_check *c, const void *section);
void config_check_route(struct config_check *c, const void *section);
void config_check_proxy(struct config_check *c, const void *section);
void config_check_window(struct config_check *c, const void *section);
void config_check_destination(struct config_check *c, const void *section);
/* Between sections; copes with structs that are half filled. */
void config_check_whole(struct config_check *c, const struct node *root,
    const struct config *cfg);

/* ---- print.c ----------------------------------------------------------- */

int config_print_option(const struct config_option *o, const void *base,
    struct buf *b);

/* ---- value.c, network.c ------------------------------------------------ */

/* -EINVAL: not of the form; -ERANGE: larger than 64 bits hold. */
int  config_uint_parse(const char *s, uint64_t *ret);
int  config_size_parse(const char *s, uint64_t *ret_bytes);
int  config_duration_parse(const char *s, uint64_t *ret_ms);
int  config_rate_parse(const char *s, uint64_t *ret_bytes);	/* no `none` */
int  config_clock_parse(const char *s, uint64_t *ret_minutes);
void config_size_print(struct buf *b, uint64_t bytes);
void config_duration_print(struct buf *b, uint64_t ms);
void config_rate_print(struct buf *b, uint64_t bytes);
void config_clock_print(struct buf *b, uint64_t minutes);
/* A number of any type as the file would say it. */
void config_number_print(struct buf *b, enum config_type type, uint64_t v);

bool config_title_ok(const char *s);
bool config_title_pattern_ok(const char *s);	/* * and ? besides */
bool config_name_ok(const char *s);
bool config_uid_ok(const char *s);
bool config_code_ok(const char *s);		/* a modality: CT, MR */
bool config_sop_class_ok(const char *s);	/* a UID, or as a keyword looks */
bool config_pattern_ok(const char *s);		/* of a text of 64 characters */
bool config_charset_ok(const char *s);		/* terms as in (0008,0005) */
bool config_text_ok(const char *s, size_t len);	/* printable UTF-8, one line */
const char *config_url_wrong(const char *s);	/* NULL: nothing is */

bool config_network_same(const char *a, const char *b);
bool config_address_ok(const char *address);	/* no network, no name */

/* ---- snapshot.c -------------------------------------------------------- */

/* config_load() of text that is at hand already; path is for messages and for
 * relative paths. */
int config_load_text(const char *path, const char *text, size_t len,
    const struct config **ret, struct buf *problems);

#endif
