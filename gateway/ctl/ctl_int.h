/* ctl_int.h - what the files of causewayctl share.
 *
 *   main.c	main(), nothing else
 *   ctl.c	options, the table of commands
 *   client.c	the JSON API over the control socket
 *   text.c	texts from the wire, sizes, times: for a terminal
 *   table.c	aligned columns
 *   the others	the commands, by subject
 *
 * One thread. Exit status: 0 done, 1 failed, 2 usage.
 */
#ifndef CW_CTL_CTL_INT_H
#define CW_CTL_CTL_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "gateway/base/buf.h"

#define CTL_SOCKET "/run/causeway/control.sock"

enum { CTL_DONE, CTL_FAILED, CTL_USAGE };

/* Which options a command takes. */
#define CTL_OPT_TO	    (1u << 0)
#define CTL_OPT_DESTINATION (1u << 1)
#define CTL_OPT_FILTER	    (1u << 2)	/* --state --peer -n */
#define CTL_OPT_CONSENT	    (1u << 3)	/* --yes --reason */
#define CTL_OPT_REASON	    (1u << 4)
#define CTL_OPT_BYTES	    (1u << 5)
#define CTL_OPT_SINCE	    (1u << 6)

struct ctl {
	const char *socket;
	bool	 json;
	FILE	*out, *err;
	/* What the command line says behind the command. */
	const char *to, *destination, *state, *peer, *since, *reason;
	bool	 yes, bytes;
	unsigned limit;		/* 0: not said */
	int	 n_words;
	char   **words;
};

struct ctl_command {
	const char *name;
	const char *arguments;	/* for people: "STUDY [--to DEST]" */
	const char *help;
	int	    words_min, words_max;
	unsigned    options;	/* CTL_OPT_* */
	int	  (*run)(struct ctl *c);
};
extern const struct ctl_command ctl_commands[];	/* ends with name NULL */

/* ---- ctl.c ---- */

/* The whole program but for main(). */
int ctl_run(int argc, char **argv, FILE *out, FILE *err);
/* Fills *ret; CTL_DONE, CTL_USAGE (said why on ret->err), or -1: help or version
 * was asked for and printed. */
int ctl_parse(int argc, char **argv, struct ctl *ret,
    const struct ctl_command **ret_command);
int ctl_fail(struct ctl *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
int ctl_usage(struct ctl *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- client.c ---- */

/* One call; body (may be NULL) is taken. 0 and the reply, which the caller owns;
 * otherwise it has said what went wrong and returns CTL_FAILED. */
int ctl_call(struct ctl *c, const char *method, const char *path, json_t *body,
    json_t **ret);
/* The reply's bytes into fd. */
int ctl_download(struct ctl *c, const char *path, int fd, char *why, size_t size);
/* "/v1/studies/" and so on: formats, with each %s percent-encoded. */
void ctl_path(struct buf *b, const char *fmt, ...);
/* Prints a reply as it is, for --json. */
void ctl_print_json(struct ctl *c, const json_t *o);

/* ---- json: members of replies, never NULL ---- */

const char *ctl_str(const json_t *o, const char *key);	/* "" */
uint64_t    ctl_u64(const json_t *o, const char *key);
bool	    ctl_bool(const json_t *o, const char *key);

/* ---- text.c ---- */

/* Appends s so that it cannot steer a terminal: what does not print is written
 * as \xNN or \u{NNNN}. */
void   ctl_escape(struct buf *b, const char *s);
size_t ctl_width(const char *s);	/* columns of an escaped text */
/* At most so many columns, the last an ellipsis if something was cut. */
void   ctl_cut(struct buf *b, const char *s, size_t columns);
const char *ctl_size(uint64_t bytes, char *buf, size_t size);	/* "61.2 MiB" */
const char *ctl_duration(uint64_t seconds, char *buf, size_t size); /* "3 h 12 min" */
/* "2026-11-23 04:15:02", in the gateway's zone; "-" for none. */
const char *ctl_time(const char *iso, char *buf, size_t size);
const char *ctl_state_words(const char *state);	/* of a study, for people */

/* ---- table.c ---- */

struct ctl_column {
	const char *title;
	bool right;
	bool shrink;		/* may be cut where the line is too long */
};
struct ctl_table;

struct ctl_table *ctl_table_new(const struct ctl_column *columns, size_t n);
/* The next cell, escaped here. Cells fill rows from left to right. */
void ctl_table_add(struct ctl_table *t, const char *text);
void ctl_table_add_u64(struct ctl_table *t, uint64_t n);
/* A line below the row, indented: reasons, which are longer than columns. */
void ctl_table_note(struct ctl_table *t, const char *text);
size_t ctl_table_rows(const struct ctl_table *t);
/* width 0: that of the terminal, else 100. Empty tables print nothing. */
void ctl_table_print(const struct ctl_table *t, FILE *out, size_t width);
void ctl_table_free(struct ctl_table *t);

/* A text, escaped here, in lines of at most width columns (0: as for tables); the
 * first begins with `first`, all are indented. */
void ctl_wrap(FILE *out, const char *first, size_t indent, const char *text,
    size_t width);

/* ---- commands ---- */

int ctl_status(struct ctl *c), ctl_studies(struct ctl *c), ctl_show(struct ctl *c),
    ctl_route(struct ctl *c);
int ctl_retry(struct ctl *c), ctl_resend(struct ctl *c), ctl_hold(struct ctl *c),
    ctl_release(struct ctl *c), ctl_priority(struct ctl *c), ctl_drop(struct ctl *c),
    ctl_purge(struct ctl *c), ctl_accept(struct ctl *c);
int ctl_verify(struct ctl *c), ctl_test(struct ctl *c), ctl_doctor(struct ctl *c),
    ctl_reconcile(struct ctl *c);
int ctl_export(struct ctl *c), ctl_salvage(struct ctl *c);
int ctl_peers(struct ctl *c), ctl_destinations(struct ctl *c),
    ctl_associations(struct ctl *c), ctl_reload(struct ctl *c),
    ctl_version(struct ctl *c), ctl_help(struct ctl *c);
void ctl_print_destinations(struct ctl *c, const json_t *list);

#endif
