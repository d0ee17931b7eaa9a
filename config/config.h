/* config.h - the YAML file as an immutable, counted snapshot.
 *
 * Strict: unknown keys, wrong types, values out of range and impossible
 * combinations are all reported at once, each as
 * `file:line: option: what and what would be right`. A snapshot never changes;
 * a reload makes a new one, and whoever began under the old keeps a reference.
 *
 * The option tables are the sole source for the parser, for the list of what is
 * in effect (`causewayd -t -v`), and for the reference in the documentation.
 * Kinds of destination and of credential export their own table and are handed
 * in by main.c, so adding one touches one file and one line.
 *
 * Any thread may read a snapshot it holds a reference to. Secrets are never in
 * it: only names of files.
 */
#ifndef CW_CONFIG_CONFIG_H
#define CW_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"

/* ---- describing options ------------------------------------------------ */

enum config_type {
	CONFIG_STRING,	 /* char * */
	CONFIG_TITLE,	 /* char *: an AE title, 1..16 characters */
	CONFIG_NAME,	 /* char *: [a-z0-9][a-z0-9_-]{0,31}, one of ours */
	CONFIG_FILE,	 /* char *: absolute path (resolved against the file's folder)
			  * of a file that this process can read */
	CONFIG_DIR,	 /* char *: absolute path of a directory, may not exist yet */
	CONFIG_PATH,	 /* char *: absolute path of something else that we make */
	CONFIG_URL,	 /* char *: http:// or https://, no query, no user part;
			  * slashes at its end are dropped */
	CONFIG_BOOL,	 /* bool */
	CONFIG_UINT,	 /* uint64_t, min..max */
	CONFIG_SIZE,	 /* uint64_t bytes; B KiB MiB GiB TiB */
	CONFIG_DURATION, /* uint64_t milliseconds; ms s min h d */
	CONFIG_RATE,	 /* uint64_t bytes per second; kbit Mbit Gbit; `none` is
			  * CONFIG_RATE_NONE where .none is set; 0: no limit, and
			  * cannot be written */
	CONFIG_CLOCK,	 /* uint64_t minutes since midnight: "07:00"; "24:00" */
	CONFIG_ENUM,	 /* int: index in choices */
	CONFIG_FLAGS,	 /* unsigned: bit i for choices[i]; one or a list; a range
			  * "mon-fri" (also "fri-mon") where .ranges is set */
	CONFIG_STRINGS,	 /* struct config_strings: one or a list */
	CONFIG_SECTION,	 /* struct * or NULL when left out, unless .always */
	CONFIG_LIST,	 /* struct config_list of section structs */
	CONFIG_KIND,	 /* struct config_choice: a section whose `type` names a kind;
			  * an option itself named `type` makes the section around
			  * it that one, with the kind's options beside its own */
};

struct config_strings { size_t n; char **v; };
struct config_list    { size_t n; void **v; };

struct config_check;	/* collects problems while a section is checked */
/* The option's own line is taken where the section writes it, else `line`. */
void config_problem(struct config_check *c, unsigned line, const char *option,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

struct config_section {
	const char *name;	/* for people: "peers[]" */
	size_t	    size;	/* of the struct; it begins with unsigned line */
	const struct config_option *options;	/* ends with name == NULL */
	/* Combinations; may be NULL. Called only when all options are right. */
	void (*check)(struct config_check *c, const void *section);
};

/* Two options of one offset are two spellings: one may be written, and the
 * first is printed. */
struct config_option {
	const char	*name;
	enum config_type type;
	size_t		 offset;
	const char	*fallback;	/* parsed as if written; NULL: zero/NULL */
	bool		 required;
	bool		 always;	/* SECTION: defaults when left out */
	bool		 restart;	/* a reload cannot change it */
	bool		 none;		/* RATE: may be `none` */
	bool		 ranges;	/* FLAGS: `a-c` is a, b and c; the first
					 * follows the last */
	uint64_t	 min, max;	/* numbers of all types; max 0: no limit */
	const char *const *choices;	/* ENUM, FLAGS; TITLE: words that are right
					 * beside titles; ends with NULL */
	const struct config_section *section;	/* SECTION, LIST */
	const struct config_kind *const *(*kinds)(void);	/* KIND */
	const char	*help;		/* one line, for the reference */
};

/* A kind of destination or credential: `type: NAME` and its own options beside
 * the common ones. */
struct config_kind {
	const char *name;
	struct config_section section;
};
struct config_choice {
	const struct config_kind *kind;	/* NULL: left out */
	void *options;			/* the kind's struct */
};

/* main.c hands the tables over once, before the first load; each ends with
 * NULL and outlives everything. */
void config_set_kinds(const struct config_kind *const *destinations,
    const struct config_kind *const *credentials);

/* For .kinds, and the options of the common structs for kinds' own tables. */
const struct config_kind *const *config_destination_kinds(void);
const struct config_kind *const *config_credential_kinds(void);
extern const struct config_section config_client_tls_section;
extern const struct config_section config_proxy_section;

/* ---- what the file says ------------------------------------------------ */

enum config_called { CONFIG_CALLED_LISTED, CONFIG_CALLED_ANY };
enum config_access { CONFIG_ACCESS_LISTED, CONFIG_ACCESS_OPEN };
enum config_unrouted { CONFIG_UNROUTED_HOLD, CONFIG_UNROUTED_REFUSE };
enum config_priority { CONFIG_PRIORITY_LOW, CONFIG_PRIORITY_NORMAL,
	CONFIG_PRIORITY_STAT };
enum config_tls_profile { CONFIG_TLS_BCP195, CONFIG_TLS_LEGACY_AES };
enum config_conflict { CONFIG_CONFLICT_REFUSE, CONFIG_CONFLICT_REPLACE };
#define CONFIG_ALLOW_ECHO  (1u << 0)
#define CONFIG_ALLOW_STORE (1u << 1)

struct config_server_tls {
	unsigned line;
	char	*certificate_file, *key_file, *key_passphrase_file;
	char	*client_ca_file;	/* NULL: peers need no certificate */
	char	*crl_file;
	int	 profile;		/* enum config_tls_profile */
};

struct config_listen {
	unsigned line;
	char	*address;	/* NULL: all, IPv6 and IPv4 */
	uint64_t port;
	struct config_server_tls *tls;	/* NULL: plain TCP */
};

struct config_peer_tls {
	unsigned line;
	bool	 required;
	char	*subject;	/* "CN=us3": must be part of the subject, RFC 2253 */
};

struct config_peer {
	unsigned line;
	char	*ae_title;	/* "*": any title (wants address) */
	struct config_strings address;	/* addresses or networks; none: any */
	unsigned allow;		/* CONFIG_ALLOW_* */
	char	*note;
	uint64_t max_pdu, idle_timeout_ms, message_timeout_ms,
		 complete_after_ms;	/* 0: the gateway's */
	char	*assume_charset;
	struct config_strings transfer_syntaxes;	/* UIDs, preferred first */
	bool	 trust_priority;
	int	 priority;	/* enum config_priority */
	struct config_peer_tls *tls;
};

struct config_client_tls {
	unsigned line;
	char	*ca_file;	/* NULL: the system's store */
};

struct config_proxy {
	unsigned line;
	char	*url;			/* http:// or https:// */
	char	*user, *password_file;	/* NULL: it wants none */
	char	*ca_file;		/* of an https:// proxy; NULL: the system's */
};

#define CONFIG_RATE_NONE   UINT64_MAX	/* nothing at all */
#define CONFIG_WINDOWS_MAX 64		/* of one destination */

/* Weekly, in gateway.timezone; to before from: over midnight. The first that holds
 * counts. */
struct config_window {
	unsigned line;
	unsigned days;			/* bit 0: Monday; on which it begins */
	uint64_t from, to;		/* minutes since midnight; never the same */
	uint64_t rate;			/* bytes/s; 0: no limit; CONFIG_RATE_NONE */
};

/* What all kinds of destination have; the kind's own options are in choice. */
struct config_destination {
	unsigned line;
	char	*name;
	struct config_choice choice;
	uint64_t rate;			/* bytes/s outside of windows; 0: no limit;
					 * CONFIG_RATE_NONE */
	struct config_list windows;	/* struct config_window */
};

struct config_route {
	unsigned line;
	struct config_strings from;	/* calling titles, with * and ?; none: any */
	struct config_strings called;
	struct config_strings modality;
	struct config_strings sop_class;	/* UIDs or keywords; of any instance */
	struct config_strings body_part;	/* with * and ?; case does not count */
	struct config_strings station;
	struct config_strings description;	/* of the study or series */
	struct config_strings to;	/* names of destinations; may be empty */
	bool	 final;
};

struct config {
	unsigned line;
	struct config_gateway {
		unsigned line;
		struct config_strings ae_titles;
		int	 called;		/* enum config_called */
		struct config_list listen;	/* struct config_listen */
		uint64_t max_associations, max_pdu;
		uint64_t handshake_timeout_ms, message_timeout_ms, idle_timeout_ms;
		char	*control_socket, *timezone;
	} *gateway;
	struct config_log { unsigned line; int level; } *log;	/* enum log_level */
	int access;				/* enum config_access */
	struct config_list peers;		/* struct config_peer */
	struct config_spool {
		unsigned line;
		char	*directory;
		uint64_t reserve, keep_delivered_ms, keep_index_ms;
	} *spool;
	struct config_study {
		unsigned line;
		uint64_t complete_after_ms, complete_at_most_ms;
		bool	 start_early;
	} *study;
	struct config_reconciliation {
		unsigned line;
		bool	 daily;
		uint64_t at;			/* minutes since midnight */
	} *reconciliation;
	int  unrouted;				/* enum config_unrouted */
	bool unrouted_written;			/* the file says it itself */
	struct config_list destinations;	/* struct config_destination */
	struct config_list routes;		/* struct config_route */
};

/* ---- loading ----------------------------------------------------------- */

/* 0 and a snapshot with one reference, or -EINVAL (bad) or -ENOENT, -EACCES …
 * (not readable), with every problem, one per line, appended to problems. */
int config_load(const char *path, const struct config **ret, struct buf *problems);

const struct config *config_ref(const struct config *c);
void config_unref(const struct config *c);	/* takes NULL */

/* What is in effect, as YAML, defaults included. */
int config_print(const struct config *c, struct buf *b);
/* The same text for one section or kind: two are equal when their texts are. */
int config_print_destination(const struct config_destination *d, struct buf *b);
/* All options with type, default and help, as Markdown, from the tables. */
int config_reference(struct buf *b);

/* Which keys differ that only a restart can change, comma-separated in ret; ""
 * if none. */
int config_restart_needed(const struct config *old, const struct config *new,
    struct buf *ret);

const struct config_destination *config_destination_find(const struct config *c,
    const char *name);

/* The most specific entry for a caller (rule 17): its exact title before `*`, then
 * the longest network. NULL: none admits it. Titles count by case. */
const struct config_peer *config_peer_find(const struct config *c,
    const char *ae_title, const char *address);

/* "10.1.2.0/24" or "2001:db8::1" holds the address (text, as getnameinfo gives
 * it; IPv4-mapped IPv6 counts as IPv4). false too when the network is malformed. */
bool config_network_ok(const char *network);
bool config_network_has(const char *network, const char *address);
/* Prefix length, for "the most specific entry wins" (rule 17). */
int  config_network_bits(const char *network);

#endif
