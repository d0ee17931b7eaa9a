/* tables.c - every option that all sites share: its name, its default, its
 * limits and one line of help. Defaults stand nowhere else.
 */
#include <string.h>

#include "config/config_int.h"
#include "gateway/base/log.h"

#define SECOND 1000ull
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define YEARS  (36500 * DAY)	/* nothing here outlasts a century */
#define MIB    (1ull << 20)
#define TIB    (1ull << 40)
#define KBIT   125ull		/* bytes */
#define GBIT   (1000000 * KBIT)

static const char *const called_words[] = {
	[CONFIG_CALLED_LISTED] = "listed", [CONFIG_CALLED_ANY] = "any", NULL,
};
static const char *const access_words[] = {
	[CONFIG_ACCESS_LISTED] = "listed", [CONFIG_ACCESS_OPEN] = "open", NULL,
};
static const char *const unrouted_words[] = {
	[CONFIG_UNROUTED_HOLD] = "hold", [CONFIG_UNROUTED_REFUSE] = "refuse",
	NULL,
};
static const char *const priority_words[] = {
	[CONFIG_PRIORITY_LOW] = "low", [CONFIG_PRIORITY_NORMAL] = "normal",
	[CONFIG_PRIORITY_STAT] = "stat", NULL,
};
static const char *const tls_profile_words[] = {
	[CONFIG_TLS_BCP195] = "bcp195", [CONFIG_TLS_LEGACY_AES] = "legacy_aes",
	NULL,
};
static const char *const log_level_words[] = {
	[LOG_ERROR] = "error", [LOG_WARNING] = "warning", [LOG_INFO] = "info",
	[LOG_DEBUG] = "debug", NULL,
};
static const char *const allow_words[] = { "echo", "store", NULL };
_Static_assert(CONFIG_ALLOW_ECHO == 1u << 0, "allow_words[0]");
_Static_assert(CONFIG_ALLOW_STORE == 1u << 1, "allow_words[1]");
static const char *const day_words[] = {
	"mon", "tue", "wed", "thu", "fri", "sat", "sun", NULL,
};
static const char *const any_title[] = { "*", NULL };

#define AT(type, field) .offset = offsetof(struct type, field)

static const struct config_option server_tls_options[] = {
	{ .name = "certificate_file", .type = CONFIG_FILE, .required = true,
	    AT(config_server_tls, certificate_file),
	    .help = "our certificate and those that signed it, PEM" },
	{ .name = "key_file", .type = CONFIG_FILE, .required = true,
	    AT(config_server_tls, key_file),
	    .help = "the key of the certificate, PEM" },
	{ .name = "key_passphrase_file", .type = CONFIG_FILE,
	    AT(config_server_tls, key_passphrase_file),
	    .help = "first line: the passphrase of an encrypted key" },
	{ .name = "client_ca_file", .type = CONFIG_FILE,
	    AT(config_server_tls, client_ca_file),
	    .help = "peers must show a certificate signed by one of these; "
		    "left out, they need none" },
	{ .name = "crl_file", .type = CONFIG_FILE,
	    AT(config_server_tls, crl_file),
	    .help = "certificates of peers that were revoked; like all these "
		    "files it is read anew by a reload" },
	{ .name = "profile", .type = CONFIG_ENUM, .fallback = "bcp195",
	    .choices = tls_profile_words, AT(config_server_tls, profile),
	    .help = "`legacy_aes` admits RSA key exchange and CBC for installed "
		    "modalities" },
	{ 0 },
};

static const struct config_section server_tls_section = {
	"gateway.listen[].tls", sizeof(struct config_server_tls),
	server_tls_options, config_check_server_tls,
};

static const struct config_option listen_options[] = {
	{ .name = "port", .type = CONFIG_UINT, .fallback = "11112", .min = 1,
	    .max = 65535, AT(config_listen, port),
	    .help = "below 1024 only as systemd's service or as root" },
	{ .name = "address", .type = CONFIG_STRING, AT(config_listen, address),
	    .help = "one address of this machine; left out: all of them" },
	{ .name = "tls", .type = CONFIG_SECTION, .section = &server_tls_section,
	    AT(config_listen, tls), .help = "left out: plain DICOM" },
	{ 0 },
};

static const struct config_section listen_section = {
	"gateway.listen[]", sizeof(struct config_listen), listen_options,
	config_check_listen,
};

static const struct config_option gateway_options[] = {
	{ .name = "ae_titles", .type = CONFIG_STRINGS, .fallback = "CAUSEWAY",
	    AT(config_gateway, ae_titles),
	    .help = "the titles that peers may call; answers use the one "
		    "called" },
	{ .name = "ae_title", .type = CONFIG_STRINGS,
	    AT(config_gateway, ae_titles),
	    .help = "another spelling of `ae_titles`, for one" },
	{ .name = "called", .type = CONFIG_ENUM, .fallback = "listed",
	    .choices = called_words, AT(config_gateway, called),
	    .help = "`any` answers to titles beside ours too" },
	{ .name = "listen", .type = CONFIG_LIST, .fallback = "[{port: 11112}]",
	    .restart = true, .section = &listen_section,
	    AT(config_gateway, listen), .help = "where peers connect to" },
	{ .name = "max_associations", .type = CONFIG_UINT, .fallback = "64",
	    .min = 1, .max = 1024, AT(config_gateway, max_associations),
	    .help = "at one time; more are rejected as transient" },
	{ .name = "max_pdu", .type = CONFIG_UINT, .fallback = "131072",
	    .min = 4096, .max = 131072, AT(config_gateway, max_pdu),
	    .help = "bytes of a PDU that we offer to receive" },
	{ .name = "handshake_timeout", .type = CONFIG_DURATION,
	    .fallback = "30s", .min = 100, .max = HOUR,
	    AT(config_gateway, handshake_timeout_ms),
	    .help = "from the connection to the association" },
	{ .name = "message_timeout", .type = CONFIG_DURATION,
	    .fallback = "60s", .min = 100, .max = DAY,
	    AT(config_gateway, message_timeout_ms),
	    .help = "silence inside a message" },
	{ .name = "idle_timeout", .type = CONFIG_DURATION,
	    .fallback = "15min", .min = 100, .max = 7 * DAY,
	    AT(config_gateway, idle_timeout_ms),
	    .help = "silence between messages" },
	{ .name = "control_socket", .type = CONFIG_PATH,
	    .fallback = "/run/causeway/control.sock", .restart = true,
	    AT(config_gateway, control_socket),
	    .help = "where causewayctl asks" },
	{ .name = "timezone", .type = CONFIG_STRING, .restart = true,
	    AT(config_gateway, timezone),
	    .help = "for times that people read, such as Europe/Berlin; left "
		    "out: the machine's" },
	{ 0 },
};

static const struct config_section gateway_section = {
	"gateway", sizeof(struct config_gateway), gateway_options,
	config_check_gateway,
};

static const struct config_option log_options[] = {
	{ .name = "level", .type = CONFIG_ENUM, .fallback = "info",
	    .choices = log_level_words, AT(config_log, level),
	    .help = "no level shows patient data" },
	{ 0 },
};

static const struct config_section log_section = {
	"log", sizeof(struct config_log), log_options, NULL,
};

static const struct config_option peer_tls_options[] = {
	{ .name = "required", .type = CONFIG_BOOL, .fallback = "true",
	    AT(config_peer_tls, required),
	    .help = "plain connections of this peer are rejected" },
	{ .name = "subject", .type = CONFIG_STRING,
	    AT(config_peer_tls, subject),
	    .help = "must be part of its certificate's subject, such as "
		    "`CN=us3`" },
	{ 0 },
};

static const struct config_section peer_tls_section = {
	"peers[].tls", sizeof(struct config_peer_tls), peer_tls_options, NULL,
};

static const struct config_option peer_options[] = {
	{ .name = "ae_title", .type = CONFIG_TITLE, .required = true,
	    .choices = any_title, AT(config_peer, ae_title),
	    .help = "the title it calls with; `\"*\"`: any title from its "
		    "address" },
	{ .name = "address", .type = CONFIG_STRINGS, AT(config_peer, address),
	    .help = "addresses or networks it calls from; left out: any" },
	{ .name = "allow", .type = CONFIG_FLAGS, .fallback = "[echo, store]",
	    .choices = allow_words, AT(config_peer, allow),
	    .help = "the services it may use" },
	{ .name = "note", .type = CONFIG_STRING, AT(config_peer, note),
	    .help = "for people: the room, whom to call" },
	{ .name = "max_pdu", .type = CONFIG_UINT, .min = 4096, .max = 131072,
	    AT(config_peer, max_pdu),
	    .help = "instead of the gateway's, for this peer" },
	{ .name = "idle_timeout", .type = CONFIG_DURATION, .min = 100,
	    .max = 7 * DAY, AT(config_peer, idle_timeout_ms),
	    .help = "instead of the gateway's: ultrasound holds one association "
		    "through an exam" },
	{ .name = "message_timeout", .type = CONFIG_DURATION, .min = 100,
	    .max = DAY, AT(config_peer, message_timeout_ms),
	    .help = "instead of the gateway's, for this peer" },
	{ .name = "complete_after", .type = CONFIG_DURATION, .min = 100,
	    .max = 7 * DAY, AT(config_peer, complete_after_ms),
	    .help = "instead of the study's, for what this peer sends" },
	{ .name = "assume_charset", .type = CONFIG_STRING,
	    AT(config_peer, assume_charset),
	    .help = "for a sender that omits or misstates (0008,0005), such as "
		    "`ISO_IR 100`; the objects stay as they came" },
	{ .name = "transfer_syntaxes", .type = CONFIG_STRINGS,
	    AT(config_peer, transfer_syntaxes),
	    .help = "UIDs, preferred first, instead of our own order" },
	{ .name = "trust_priority", .type = CONFIG_BOOL, .fallback = "false",
	    AT(config_peer, trust_priority),
	    .help = "heed the priority of its C-STORE requests" },
	{ .name = "priority", .type = CONFIG_ENUM, .fallback = "normal",
	    .choices = priority_words, AT(config_peer, priority),
	    .help = "of what it sends" },
	{ .name = "tls", .type = CONFIG_SECTION, .section = &peer_tls_section,
	    AT(config_peer, tls),
	    .help = "left out: it may come plain or by TLS" },
	{ 0 },
};

static const struct config_section peer_section = {
	"peers[]", sizeof(struct config_peer), peer_options, config_check_peer,
};

static const struct config_option spool_options[] = {
	{ .name = "directory", .type = CONFIG_DIR,
	    .fallback = "/var/lib/causeway/spool", .restart = true,
	    AT(config_spool, directory),
	    .help = "where images wait, on a disk of this machine" },
	{ .name = "reserve", .type = CONFIG_SIZE, .fallback = "5GiB",
	    .min = MIB, .max = 1024 * TIB, AT(config_spool, reserve),
	    .help = "images are refused when less is free, new associations "
		    "already below twice as much" },
	{ .name = "keep_delivered", .type = CONFIG_DURATION, .fallback = "7d",
	    .max = YEARS, AT(config_spool, keep_delivered_ms),
	    .help = "images stay after delivery, as far as there is room" },
	{ .name = "keep_index", .type = CONFIG_DURATION, .fallback = "365d",
	    .max = YEARS, AT(config_spool, keep_index_ms),
	    .help = "what is known of images outlives them" },
	{ 0 },
};

static const struct config_section spool_section = {
	"spool", sizeof(struct config_spool), spool_options, config_check_spool,
};

static const struct config_option study_options[] = {
	{ .name = "complete_after", .type = CONFIG_DURATION, .fallback = "60s",
	    .min = 100, .max = 7 * DAY, AT(config_study, complete_after_ms),
	    .help = "silence after which a study counts as complete" },
	{ .name = "complete_at_most", .type = CONFIG_DURATION,
	    .fallback = "1h", .min = 100, .max = 30 * DAY,
	    AT(config_study, complete_at_most_ms),
	    .help = "how long an open association can hold a study open" },
	{ .name = "start_early", .type = CONFIG_BOOL, .fallback = "false",
	    AT(config_study, start_early),
	    .help = "upload before the study is complete; routes then look at "
		    "each image alone" },
	{ 0 },
};

static const struct config_section study_section = {
	"study", sizeof(struct config_study), study_options, config_check_study,
};

static const struct config_option proxy_options[] = {
	{ .name = "url", .type = CONFIG_URL, .required = true,
	    AT(config_proxy, url), .help = "http:// or https://, with its port" },
	{ .name = "user", .type = CONFIG_STRING, AT(config_proxy, user),
	    .help = "left out: it wants none" },
	{ .name = "password_file", .type = CONFIG_FILE,
	    AT(config_proxy, password_file),
	    .help = "holds the user's password" },
	{ .name = "ca_file", .type = CONFIG_FILE, AT(config_proxy, ca_file),
	    .help = "who may sign the certificate of an https:// proxy, PEM; "
		    "left out: the system's store" },
	{ 0 },
};

const struct config_section config_proxy_section = {
	"proxy", sizeof(struct config_proxy), proxy_options, config_check_proxy,
};

static const struct config_option window_options[] = {
	{ .name = "days", .type = CONFIG_FLAGS, .fallback = "mon-sun",
	    .choices = day_words, .ranges = true, AT(config_window, days),
	    .help = "on which it begins" },
	{ .name = "from", .type = CONFIG_CLOCK, .fallback = "00:00",
	    .max = 23 * 60 + 59, AT(config_window, from),
	    .help = "in the time zone of `gateway.timezone`" },
	{ .name = "to", .type = CONFIG_CLOCK, .fallback = "24:00",
	    .max = 24 * 60, AT(config_window, to),
	    .help = "before `from`: on the next day" },
	{ .name = "rate", .type = CONFIG_RATE, .none = true, .min = 64 * KBIT,
	    .max = 1000 * GBIT, AT(config_window, rate),
	    .help = "within it; left out: no limit; `none`: nothing is sent" },
	{ 0 },
};

static const struct config_section window_section = {
	"destinations[].windows[]", sizeof(struct config_window),
	window_options, config_check_window,
};

static const struct config_option destination_options[] = {
	{ .name = "name", .type = CONFIG_NAME, .required = true,
	    AT(config_destination, name),
	    .help = "for routes and people; images are owed to this name" },
	{ .name = "type", .type = CONFIG_KIND, .required = true,
	    .kinds = config_destination_kinds, AT(config_destination, choice),
	    .help = "brings the options of its kind" },
	{ .name = "rate", .type = CONFIG_RATE, .none = true, .min = 64 * KBIT,
	    .max = 1000 * GBIT, AT(config_destination, rate),
	    .help = "of all its connections together, outside of its windows; "
		    "left out: no limit; `none`: nothing is sent" },
	{ .name = "windows", .type = CONFIG_LIST, .section = &window_section,
	    AT(config_destination, windows),
	    .help = "times of the week with a rate of their own; the first that "
		    "holds counts" },
	{ 0 },
};

static const struct config_section destination_section = {
	"destinations[]", sizeof(struct config_destination),
	destination_options, config_check_destination,
};

static const struct config_option route_options[] = {
	{ .name = "from", .type = CONFIG_STRINGS, AT(config_route, from),
	    .help = "calling titles, with `*` and `?`; left out: any" },
	{ .name = "called", .type = CONFIG_STRINGS, AT(config_route, called),
	    .help = "called titles, with `*` and `?`; left out: any" },
	{ .name = "modality", .type = CONFIG_STRINGS,
	    AT(config_route, modality),
	    .help = "matches when any image of the study has it" },
	{ .name = "sop_class", .type = CONFIG_STRINGS,
	    AT(config_route, sop_class),
	    .help = "UIDs or keywords, such as `CTImageStorage`; matches when "
		    "any image of the study has it" },
	{ .name = "body_part", .type = CONFIG_STRINGS,
	    AT(config_route, body_part),
	    .help = "body parts examined, with `*` and `?`, in small letters or "
		    "capitals; of any series of the study" },
	{ .name = "station", .type = CONFIG_STRINGS, AT(config_route, station),
	    .help = "station names, with `*` and `?`; of any series of the "
		    "study" },
	{ .name = "description", .type = CONFIG_STRINGS,
	    AT(config_route, description),
	    .help = "of the study or any of its series, with `*` and `?`, in "
		    "small letters or capitals" },
	{ .name = "to", .type = CONFIG_STRINGS, AT(config_route, to),
	    .help = "names of destinations" },
	{ .name = "final", .type = CONFIG_BOOL, .fallback = "false",
	    AT(config_route, final),
	    .help = "when it matches, later routes are not asked" },
	{ 0 },
};

static const struct config_section route_section = {
	"routes[]", sizeof(struct config_route), route_options,
	config_check_route,
};

static const struct config_option reconciliation_options[] = {
	{ .name = "daily", .type = CONFIG_BOOL, .fallback = "true",
	    AT(config_reconciliation, daily),
	    .help = "ask the destinations once a day for what was delivered" },
	{ .name = "at", .type = CONFIG_CLOCK, .fallback = "04:30",
	    AT(config_reconciliation, at),
	    .help = "in the site's time zone, for the 24 hours before" },
	{ 0 },
};

static const struct config_section reconciliation_section = {
	"reconciliation", sizeof(struct config_reconciliation),
	reconciliation_options, NULL,
};

static const struct config_option root_options[] = {
	{ .name = "gateway", .type = CONFIG_SECTION, .always = true,
	    .section = &gateway_section, AT(config, gateway),
	    .help = "who we are for the peers" },
	{ .name = "log", .type = CONFIG_SECTION, .always = true,
	    .section = &log_section, AT(config, log),
	    .help = "goes to the journal" },
	{ .name = "access", .type = CONFIG_ENUM, .fallback = "listed",
	    .choices = access_words, AT(config, access),
	    .help = "`open` lets everybody in: for a bench, never for a site" },
	{ .name = "peers", .type = CONFIG_LIST, .section = &peer_section,
	    AT(config, peers),
	    .help = "who may come in; the most specific entry counts" },
	{ .name = "spool", .type = CONFIG_SECTION, .always = true,
	    .section = &spool_section, AT(config, spool),
	    .help = "where images wait for their delivery" },
	{ .name = "study", .type = CONFIG_SECTION, .always = true,
	    .section = &study_section, AT(config, study),
	    .help = "when a study is complete" },
	{ .name = "reconciliation", .type = CONFIG_SECTION, .always = true,
	    .section = &reconciliation_section, AT(config, reconciliation),
	    .help = "does the cloud show what was delivered" },
	{ .name = "unrouted", .type = CONFIG_ENUM, .fallback = "hold",
	    .choices = unrouted_words, AT(config, unrouted),
	    .help = "images that no route matches; with no destination at all "
		    "images are held only if this is written" },
	{ .name = "destinations", .type = CONFIG_LIST,
	    .section = &destination_section, AT(config, destinations),
	    .help = "where images go" },
	{ .name = "routes", .type = CONFIG_LIST, .section = &route_section,
	    AT(config, routes),
	    .help = "read in order, each that matches adds its `to`; none: "
		    "everything to every destination" },
	{ 0 },
};

const struct config_section config_root_section = {
	"", sizeof(struct config), root_options, NULL,
};

static const struct config_option client_tls_options[] = {
	{ .name = "ca_file", .type = CONFIG_FILE,
	    AT(config_client_tls, ca_file),
	    .help = "who may sign the server's certificate, PEM; left out: the "
		    "system's store" },
	{ 0 },
};

const struct config_section config_client_tls_section = {
	"tls", sizeof(struct config_client_tls), client_tls_options, NULL,
};

bool
config_option_again(const struct config_option *options,
    const struct config_option *o)
{
	const struct config_option *earlier;

	for (earlier = options; earlier != o; earlier++)
		if (earlier->offset == o->offset)
			return true;
	return false;
}

const struct config_option *
config_kind_option(const struct config_section *s)
{
	const struct config_option *o;

	for (o = s->options; o->name != NULL; o++)
		if (o->type == CONFIG_KIND && strcmp(o->name, "type") == 0)
			return o;
	return NULL;
}
