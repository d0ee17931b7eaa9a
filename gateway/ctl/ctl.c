/* ctl.c - the command line: options, and the table of commands.
 *
 * Adding a command is a line of ctl_commands and a function. */
#include <getopt.h>
#include <locale.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "gateway/base/cleanup.h"
#include "gateway/ctl/ctl_int.h"

const struct ctl_command ctl_commands[] = {
	{ "status", "", "how the gateway is, and what needs somebody", 0, 0, 0,
	    ctl_status },
	{ "studies", "[--state S] [--peer AE] [--since T] [-n N]",
	    "the studies, the newest first", 0, 0, CTL_OPT_FILTER | CTL_OPT_SINCE, ctl_studies },
	{ "show", "STUDY", "one study: how far it is, and why", 1, 1, 0, ctl_show },
	{ "route", "STUDY", "which routes send it where", 1, 1, 0, ctl_route },
	{ "retry", "STUDY [--to DEST] | --destination DEST",
	    "try again what was set aside", 0, 1,
	    CTL_OPT_TO | CTL_OPT_DESTINATION | CTL_OPT_REASON, ctl_retry },
	{ "resend", "STUDY [--to DEST]", "send again what is still here", 1, 1,
	    CTL_OPT_TO | CTL_OPT_REASON, ctl_resend },
	{ "verify", "STUDY [--to DEST] [--bytes]",
	    "ask the destinations for all of it", 1, 1,
	    CTL_OPT_TO | CTL_OPT_BYTES, ctl_verify },
	{ "reconcile", "[--since T]",
	    "what came, was delivered, is shown there", 0, 0,
	    CTL_OPT_SINCE, ctl_reconcile },
	{ "accept", "STUDY [--to DEST] [--reason R]",
	    "count what is kept apart as delivered", 1, 1,
	    CTL_OPT_TO | CTL_OPT_REASON, ctl_accept },
	{ "hold", "STUDY | --destination DEST", "send nothing of it for now", 0, 1,
	    CTL_OPT_DESTINATION | CTL_OPT_REASON, ctl_hold },
	{ "release", "STUDY | --destination DEST", "end a hold", 0, 1,
	    CTL_OPT_DESTINATION | CTL_OPT_REASON, ctl_release },
	{ "priority", "STUDY low|normal|stat", "send it later or first", 2, 2,
	    CTL_OPT_REASON, ctl_priority },
	{ "drop", "STUDY [--to DEST] | --destination DEST, --yes --reason R",
	    "let go of what is not delivered", 0, 1,
	    CTL_OPT_TO | CTL_OPT_DESTINATION | CTL_OPT_CONSENT, ctl_drop },
	{ "purge", "STUDY --yes --reason R",
	    "let go of it, and destroy it here now", 1, 1,
	    CTL_OPT_CONSENT, ctl_purge },
	{ "export", "STUDY DIR", "copy its images out as Part 10 files", 2, 2, 0,
	    ctl_export },
	{ "peers", "", "who may send, who did, who was turned away", 0, 0, 0,
	    ctl_peers },
	{ "associations", "", "who is connected now", 0, 0, 0, ctl_associations },
	{ "destinations", "", "where images go, and what is owed there", 0, 0, 0,
	    ctl_destinations },
	{ "test", "DEST", "send a test object, read it back", 1, 1,
	    0, ctl_test },
	{ "doctor", "", "look for what is in the way",
	    0, 0, 0, ctl_doctor },
	{ "reload", "", "take a changed configuration over", 0, 0, 0, ctl_reload },
	{ "salvage", "SPOOLDIR OUT",
	    "images out of a spool, no daemon", 2, 2, 0, ctl_salvage },
	{ "version", "", "of this program and of the daemon", 0, 0, 0, ctl_version },
	{ "help", "[COMMAND]", "this text", 0, 1, 0, ctl_help },
	{ 0 },
};

enum { OPT_TO = 256, OPT_DESTINATION, OPT_STATE, OPT_PEER, OPT_SINCE, OPT_YES,
	OPT_REASON, OPT_JSON, OPT_BYTES };

static const struct option long_options[] = {
	{ "to", required_argument, NULL, OPT_TO },
	{ "destination", required_argument, NULL, OPT_DESTINATION },
	{ "state", required_argument, NULL, OPT_STATE },
	{ "peer", required_argument, NULL, OPT_PEER },
	{ "since", required_argument, NULL, OPT_SINCE },
	{ "yes", no_argument, NULL, OPT_YES },
	{ "reason", required_argument, NULL, OPT_REASON },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "bytes", no_argument, NULL, OPT_BYTES },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ 0 },
};

/* ---- messages ----------------------------------------------------------- */

static void
print_error(struct ctl *c, const char *text)
{
	struct buf b = BUF_INIT(1 << 20);

	if (c->json) {
		json_t *o = json_pack("{s:s}", "error", text);

		ctl_print_json(c, o);
		json_decref(o);
		return;
	}
	ctl_escape(&b, text);
	(void)fprintf(c->err, "causewayctl: %s\n", b.len > 0 ? b.data : "");
	buf_free(&b);
}

int
ctl_fail(struct ctl *c, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	print_error(c, text);
	return CTL_FAILED;
}

int
ctl_usage(struct ctl *c, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	print_error(c, text);
	if (!c->json)
		(void)fprintf(c->err, "Try causewayctl help.\n");
	return CTL_USAGE;
}

static void
print_command(const struct ctl_command *cmd, FILE *out)
{
	size_t len = strlen(cmd->name) + 1 + strlen(cmd->arguments);

	if (len <= 34)
		(void)fprintf(out, "  %s %-*s %s\n", cmd->name,
		    (int)(34 - strlen(cmd->name) - 1), cmd->arguments, cmd->help);
	else
		(void)fprintf(out, "  %s %s\n  %34s %s\n", cmd->name,
		    cmd->arguments, "", cmd->help);
}

static void
print_help(FILE *out)
{
	(void)fprintf(out, "usage: causewayctl [-s SOCKET] [--json] COMMAND\n\n");
	for (const struct ctl_command *cmd = ctl_commands; cmd->name != NULL; cmd++)
		print_command(cmd, out);
	(void)fprintf(out, "\n"
	    "A STUDY is a Study Instance UID, acc:NUMBER, pid:PATIENT or id:N.\n"
	    "States: refused, unrouted, held, receiving, owed, delivered, let-go.\n"
	    "T is an age (2h, 3d) or a time (2026-11-20, 2026-11-20T14:00).\n"
	    "--json prints JSON and nothing else. The socket is %s\n"
	    "unless -s names another. Exit status: 0 done, 1 failed, 2 usage.\n",
	    CTL_SOCKET);
}

static const struct ctl_command *
find_command(const char *name)
{
	for (const struct ctl_command *cmd = ctl_commands; cmd->name != NULL; cmd++)
		if (strcmp(cmd->name, name) == 0)
			return cmd;
	return NULL;
}

int
ctl_help(struct ctl *c)
{
	const struct ctl_command *cmd;

	if (c->n_words == 0) {
		print_help(c->out);
		return CTL_DONE;
	}
	cmd = find_command(c->words[0]);
	if (cmd == NULL)
		return ctl_usage(c, "%s: no such command", c->words[0]);
	print_command(cmd, c->out);
	return CTL_DONE;
}

/* ---- options ------------------------------------------------------------ */

static unsigned
needed_option(int opt)
{
	switch (opt) {
	case OPT_TO:
		return CTL_OPT_TO;
	case OPT_DESTINATION:
		return CTL_OPT_DESTINATION;
	case OPT_STATE:
	case OPT_PEER:
	case 'n':
		return CTL_OPT_FILTER;
	case OPT_SINCE:
		return CTL_OPT_SINCE;
	case OPT_BYTES:
		return CTL_OPT_BYTES;
	case OPT_YES:
		return CTL_OPT_CONSENT;
	case OPT_REASON:
		return CTL_OPT_CONSENT | CTL_OPT_REASON;
	default:
		return 0;
	}
}

static int
parse_limit(struct ctl *c, const char *text)
{
	unsigned long n;
	char *end;

	n = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || n < 1 || n > 1000000)
		return ctl_usage(c, "-n: a number from 1 to 1000000");
	c->limit = (unsigned)n;
	return CTL_DONE;
}

static int
take_option(struct ctl *c, int opt, const char *value)
{
	switch (opt) {
	case 's':
		c->socket = value;
		break;
	case OPT_JSON:
		c->json = true;
		break;
	case OPT_TO:
		c->to = value;
		break;
	case OPT_DESTINATION:
		c->destination = value;
		break;
	case OPT_STATE:
		c->state = value;
		break;
	case OPT_PEER:
		c->peer = value;
		break;
	case OPT_SINCE:
		c->since = value;
		break;
	case OPT_BYTES:
		c->bytes = true;
		break;
	case OPT_YES:
		c->yes = true;
		break;
	case OPT_REASON:
		c->reason = value;
		break;
	case 'n':
		return parse_limit(c, value);
	default:
		return CTL_USAGE;
	}
	return CTL_DONE;
}

static int
check_command(struct ctl *c, const struct ctl_command *cmd, unsigned wanted)
{
	if (cmd == NULL)
		return ctl_usage(c, "%s: no such command", c->words[0]);
	c->words++;
	c->n_words--;
	if (c->n_words < cmd->words_min || c->n_words > cmd->words_max)
		return ctl_usage(c, "%s wants: %s", cmd->name,
		    cmd->arguments[0] != '\0' ? cmd->arguments : "nothing more");
	for (unsigned bit = 1; bit != 0 && bit <= wanted; bit <<= 1)
		if ((wanted & bit) != 0 && (cmd->options & bit) == 0 &&
		    (bit != CTL_OPT_REASON || (cmd->options & CTL_OPT_CONSENT) == 0))
			return ctl_usage(c, "%s wants: %s; another option was given",
			    cmd->name, cmd->arguments[0] != '\0' ? cmd->arguments :
			    "nothing more");
	if (cmd->options & CTL_OPT_CONSENT && (!c->yes || c->reason == NULL ||
	    c->reason[0] == '\0'))
		return ctl_usage(c, "%s cannot be undone: add --yes and --reason "
		    "\"why\"", cmd->name);
	return CTL_DONE;
}

int
ctl_parse(int argc, char **argv, struct ctl *ret,
    const struct ctl_command **ret_command)
{
	unsigned wanted = 0;
	int opt, r;

	ret->socket = CTL_SOCKET;
	optind = 0;	/* a fresh start, for tests */
	opterr = 0;
	while ((opt = getopt_long(argc, argv, "s:n:hV", long_options, NULL)) != -1) {
		unsigned need = needed_option(opt);

		if (opt == 'h' || opt == 'V') {
			if (opt == 'h')
				print_help(ret->out);
			else
				(void)fprintf(ret->out, "causewayctl %s\n",
				    CAUSEWAY_VERSION);
			return -1;
		}
		if (opt == '?')
			return ctl_usage(ret, "%s: no such option, or its value is "
			    "missing", argv[optind - 1]);
		wanted |= opt == OPT_REASON ? CTL_OPT_REASON : need;
		r = take_option(ret, opt, optarg);
		if (r != CTL_DONE)
			return r;
	}
	ret->n_words = argc - optind;
	ret->words = argv + optind;
	if (ret->n_words == 0)
		return ctl_usage(ret, "a command is wanted");
	*ret_command = find_command(ret->words[0]);
	return check_command(ret, *ret_command, wanted);
}

int
ctl_run(int argc, char **argv, FILE *out, FILE *err)
{
	struct ctl c = { .out = out, .err = err };
	const struct ctl_command *cmd = NULL;
	int r;

	(void)setlocale(LC_CTYPE, "C.UTF-8");	/* what we print is UTF-8 */
	(void)signal(SIGPIPE, SIG_IGN);
	r = ctl_parse(argc, argv, &c, &cmd);
	if (r != CTL_DONE)
		return r < 0 ? CTL_DONE : r;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return ctl_fail(&c, "libcurl does not start");
	r = cmd->run(&c);
	curl_global_cleanup();
	if (fflush(out) != 0 && r == CTL_DONE)
		r = ctl_fail(&c, "what was to be printed could not be written");
	return r;
}
