/* test_config_errors.c - what people get wrong, and the very words and lines
 * that they are told.
 */
#include "tests/unit/config_support.h"

struct wrong { const char *text, *want; };

static void
expect_all(const struct wrong *w, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		load_bad(w[i].text, w[i].want);
}

#define EXPECT(...)                                                     \
	do {                                                            \
		const struct wrong cases_[] = { __VA_ARGS__ };          \
		(void)state;                                            \
		expect_all(cases_, sizeof(cases_) / sizeof(cases_[0])); \
	} while (0)

static void
unknown_options(void **state)
{
	EXPECT(
	    { "gateway:\n  called: any\n  max_asociations: 3\n",
		"t.yaml:3: gateway.max_asociations: unknown option "
		"`max_asociations`; did you mean `max_associations`?\n" },
	    { "access: listed\nconsole: {listen: x}\nquery: {}\n",
		"t.yaml:2: console: unknown option `console`\n"
		"t.yaml:3: query: unknown option `query`\n" },
	    { "peers:\n- ae_title: CT1\n  adress: 10.1.2.3\n",
		"t.yaml:3: peers[].adress: unknown option `adress`; did you "
		"mean `address`?\n" },
	    { "destinations:\n- name: c\n  type: fakeweb\n  url: http://x\n"
	      "  conections: 4\n",
		"t.yaml:5: destinations[].conections: unknown option "
		"`conections`; did you mean `connections`?\n" },
	    { "destinations:\n- name: c\n  type: fakeweb\n  url: http://x\n"
	      "  credential: {type: none, usr: x}\n",
		"t.yaml:5: destinations[].credential.usr: unknown option "
		"`usr`\n" });
}

static void
wrong_types(void **state)
{
	EXPECT(
	    { "gateway: 5\n",
		"t.yaml:1: gateway: found `5`; wanted a section of options, "
		"such as `gateway: {ae_titles: ...}`\n" },
	    { "gateway: [a]\n",
		"t.yaml:1: gateway: found a list; wanted a section of options, "
		"such as `gateway: {ae_titles: ...}`\n" },
	    { "peers: {ae_title: CT1}\n",
		"t.yaml:1: peers: found a section; wanted a list of sections, "
		"such as `peers: [{ae_title: ...}]`\n" },
	    { "peers:\n- CT1\n",
		"t.yaml:2: peers[]: found `CT1`; wanted a section of options, "
		"such as `{ae_title: ...}`\n" },
	    { "gateway:\n  max_associations: many\n",
		"t.yaml:2: gateway.max_associations: found `many`; wanted a "
		"whole number from 1 to 1024, such as 64\n" },
	    { "gateway:\n  max_associations: \"5\"\n",
		"t.yaml:2: gateway.max_associations: found the quoted text "
		"`5`; wanted a whole number from 1 to 1024, such as 64\n" },
	    { "gateway:\n  max_associations:\n",
		"t.yaml:2: gateway.max_associations: found nothing; wanted a "
		"whole number from 1 to 1024, such as 64\n" },
	    { "gateway:\n  idle_timeout: 15m\n",
		"t.yaml:2: gateway.idle_timeout: found `15m`; wanted a time "
		"from 100ms to 7d, such as 15min\n" },
	    { "spool:\n  reserve: 5GB\n",
		"t.yaml:2: spool.reserve: found `5GB`; wanted a size from 1MiB "
		"to 1024TiB, such as 5GiB\n" },
	    { "study: {start_early: yes}\n",
		"t.yaml:1: study.start_early: found `yes`; wanted true or "
		"false\n" },
	    { "access: closed\n",
		"t.yaml:1: access: found `closed`; wanted one of: listed, "
		"open\n" },
	    { "log: {level: trace}\n",
		"t.yaml:1: log.level: found `trace`; wanted one of: error, "
		"warning, info, debug\n" },
	    { "routes:\n- {to: [{a: b}]}\n",
		"t.yaml:2: routes[].to[]: found a section; wanted a text or a "
		"list, such as [A, B]\n" },
	    { "routes:\n- {to: }\n",
		"t.yaml:2: routes[].to: found nothing; wanted a text or a list, "
		"such as [A, B]\n" },
	    { "peers:\n- ae_title: ''\n",
		"t.yaml:2: peers[].ae_title: found the quoted text ``; wanted "
		"an AE title of 1 to 16 characters, such as CT1, or one of: *\n" });
}

static void
values_out_of_range(void **state)
{
	EXPECT(
	    { "gateway:\n  listen:\n    - port: 70000\n",
		"t.yaml:3: gateway.listen[].port: found `70000`; wanted a whole "
		"number from 1 to 65535, such as 11112\n" },
	    { "gateway: {listen: [{port: 0}]}\n",
		"t.yaml:1: gateway.listen[].port: found `0`; wanted a whole "
		"number from 1 to 65535, such as 11112\n" },
	    { "gateway: {max_pdu: 1024}\n",
		"t.yaml:1: gateway.max_pdu: found `1024`; wanted a whole number "
		"from 4096 to 131072, such as 131072\n" },
	    { "spool: {keep_delivered: 99999999999999999999d}\n",
		"t.yaml:1: spool.keep_delivered: found `99999999999999999999d`; "
		"wanted a time of at most 36500d, such as 7d\n" },
	    { "destinations:\n- {name: c, type: fakeweb, url: http://x,\n"
	      "   max_request: 0B}\n",
		"t.yaml:3: destinations[].max_request: found `0B`; wanted a "
		"size of at least 1B, such as 100MiB\n" });
}

static void
texts_of_a_form(void **state)
{
	EXPECT(
	    { "peers:\n- ae_title: THIS_IS_MUCH_TOO_LONG\n",
		"t.yaml:2: peers[].ae_title: found `THIS_IS_MUCH_TOO_LONG`; "
		"wanted an AE title of 1 to 16 characters, such as CT1, or one "
		"of: *\n" },
	    { "peers:\n- ae_title: CT*\n",
		"t.yaml:2: peers[].ae_title: found `CT*`; wanted an AE title of "
		"1 to 16 characters, such as CT1, or one of: *\n" },
	    { "gateway:\n  ae_titles: [A,\n    'B\\C']\n",
		"t.yaml:3: gateway.ae_titles[]: found `B\\C`; wanted an AE "
		"title of 1 to 16 characters, such as CAUSEWAY\n" },
	    { "gateway: {ae_title: \"*\"}\n",
		"t.yaml:1: gateway.ae_title: found `*`; wanted an AE title of 1 "
		"to 16 characters, such as CAUSEWAY\n" },
	    { "gateway: {ae_titles: []}\n",
		"t.yaml:1: gateway.ae_titles: is empty; wanted at least one "
		"title, such as CAUSEWAY\n" },
	    { "gateway: {ae_titles: [A, B, A]}\n",
		"t.yaml:1: gateway.ae_titles[]: `A` is listed twice\n" },
	    { "peers:\n- ae_title: A\n  allow: [echo, commit]\n",
		"t.yaml:3: peers[].allow[]: found `commit`; wanted one or a "
		"list of: echo, store\n" },
	    { "peers:\n- ae_title: A\n  transfer_syntaxes:\n"
	      "    - 1.2.840.10008.1.2\n    - JPEG\n",
		"t.yaml:5: peers[].transfer_syntaxes[]: found `JPEG`; wanted "
		"the UID of a transfer syntax, such as 1.2.840.10008.1.2.1\n" },
	    { "peers:\n- ae_title: A\n  assume_charset: latin1\n",
		"t.yaml:3: peers[].assume_charset: found `latin1`; wanted a "
		"term of (0008,0005), such as ISO_IR 100\n" },
	    { "destinations:\n- name: My Cloud\n  type: fakeweb\n  url: x\n",
		"t.yaml:2: destinations[].name: found `My Cloud`; wanted a name "
		"of at most 32 small letters, digits, - and _, such as cloud\n"
		"t.yaml:4: destinations[].url: found `x`, which begins with "
		"neither https:// nor http://; wanted a URL, such as "
		"https://pacs.example.org/dicom-web\n" },
	    { "routes:\n- {modality: [CT, mr]}\n",
		"t.yaml:2: routes[].modality[]: found `mr`; wanted a modality "
		"in capitals, such as CT\n" },
	    { "routes:\n- {from: THIS_IS_MUCH_TOO_LONG}\n",
		"t.yaml:2: routes[].from: found `THIS_IS_MUCH_TOO_LONG`; wanted "
		"a title, perhaps with * and ?, such as CT1 or \"MR*\"\n" });
}

static void
gateway_sense(void **state)
{
	EXPECT(
	    { "gateway:\n  ae_titles: [A]\n  ae_title: B\n",
		"t.yaml:3: gateway.ae_title: says the same as `ae_titles`; "
		"write one of them\n" },
	    { "gateway:\n  timezone: Europe/Berlin2\n",
		"t.yaml:2: gateway.timezone: found `Europe/Berlin2`, which is "
		"no file below /usr/share/zoneinfo/; wanted a time zone, such "
		"as Europe/Berlin\n" },
	    { "gateway: {timezone: ../../../etc/passwd}\n",
		"t.yaml:1: gateway.timezone: found `../../../etc/passwd`, which "
		"is no file below /usr/share/zoneinfo/; wanted a time zone, "
		"such as Europe/Berlin\n" },
	    { "gateway: {timezone: Europe}\n",
		"t.yaml:1: gateway.timezone: found `Europe`, which is no file "
		"below /usr/share/zoneinfo/; wanted a time zone, such as "
		"Europe/Berlin\n" },
	    { "gateway:\n  control_socket: /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	      "aaaaaaaaaaa\n",
		"t.yaml:2: gateway.control_socket: is longer than the 107 bytes "
		"of a socket's path\n" },
	    { "study:\n  complete_after: 2h\n",
		"t.yaml:1: study.complete_at_most: is shorter than "
		"`complete_after`; wanted at least as long\n" },
	    { "spool:\n  directory: /nonexistent\n  keep_index: 1d\n",
		"t.yaml:3: spool.keep_index: is shorter than `keep_delivered`; "
		"wanted at least as long, since the index names what is kept\n" },
	    { "spool: {directory: /etc/passwd}\n",
		"t.yaml:1: spool.directory: /etc/passwd is not a directory\n" });
}

static void
reserve_larger_than_the_disk(void **state)
{
	struct buf problems = BUF_INIT(4096);
	const char *text = "spool:\n  directory: /\n  reserve: 1024TiB\n";
	const struct config *c;

	(void)state;
	assert_int_equal(config_load_text("t.yaml", text, strlen(text), &c,
	    &problems), -EINVAL);
	assert_non_null(strstr(problems.data,
	    "t.yaml:3: spool.reserve: 1024TiB on a disk of "));
	buf_free(&problems);
}

static void
sockets(void **state)
{
	EXPECT(
	    { "gateway:\n  listen:\n    - port: 104\n    - port: 105\n"
	      "    - port: 104\n",
		"t.yaml:5: gateway.listen[]: port 104 of this address is "
		"already taken by line 3\n" },
	    { "gateway:\n  listen:\n    - {address: 10.0.0.1}\n"
	      "    - {address: 0.0.0.0}\n",
		"t.yaml:4: gateway.listen[]: port 11112 of this address is "
		"already taken by line 3\n" },
	    { "gateway:\n  listen:\n    - {address: \"::1\"}\n"
	      "    - {address: \"0::1\", port: 11112}\n",
		"t.yaml:4: gateway.listen[]: port 11112 of this address is "
		"already taken by line 3\n" },
	    { "gateway: {listen: []}\n",
		"t.yaml:1: gateway.listen: is empty; wanted at least one, such "
		"as `- {port: 11112}`\n" },
	    { "gateway:\n  listen:\n    - port: 1\n      address: localhost\n",
		"t.yaml:4: gateway.listen[].address: found `localhost`; wanted "
		"an address of this machine in figures, such as 10.1.2.3 or "
		"\"::1\"\n" });
	config_unref(load_good("gateway:\n  listen:\n"
	    "  - {address: 10.0.0.1}\n  - {address: 10.0.0.2}\n"
	    "  - {address: \"::\"}\n  - {address: 10.0.0.1, port: 104}\n"));
}

static void
tls_combinations(void **state)
{
	EXPECT(
	    { "gateway:\n  listen:\n  - port: 2762\n    tls:\n"
	      "      certificate_file: " FAKE_CERTIFICATE "\n",
		"t.yaml:4: gateway.listen[].tls.key_file: is missing; wanted "
		"the path of a file, such as /etc/causeway/tls/cert.pem\n" },
	    { "gateway:\n  listen:\n  - tls: {}\n",
		"t.yaml:3: gateway.listen[].tls.certificate_file: is missing; "
		"wanted the path of a file, such as /etc/causeway/tls/cert.pem\n"
		"t.yaml:3: gateway.listen[].tls.key_file: is missing; wanted "
		"the path of a file, such as /etc/causeway/tls/cert.pem\n" },
	    { "gateway:\n  listen:\n  - tls:\n",
		"t.yaml:3: gateway.listen[].tls: found nothing; wanted a "
		"section of options, such as `tls: {certificate_file: ...}`\n" },
	    { "gateway:\n  listen:\n  - tls:\n"
	      "      certificate_file: " FAKE_CERTIFICATE "\n"
	      "      key_file: " FAKE_CERTIFICATE "\n"
	      "      crl_file: " FAKE_CERTIFICATE "\n",
		"t.yaml:6: gateway.listen[].tls.crl_file: has no effect without "
		"`client_ca_file`; write both or none\n" },
	    { "peers:\n- ae_title: A\n  tls: {required: true}\n",
		"t.yaml:3: peers[].tls: requires TLS, but nothing in "
		"`gateway.listen` has `tls`\n" },
	    { "gateway:\n  listen:\n  - tls: {certificate_file: "
	      FAKE_CERTIFICATE ", key_file: " FAKE_CERTIFICATE "}\n"
	      "peers:\n- ae_title: A\n  tls: {subject: CN=a}\n",
		"t.yaml:6: peers[].tls: wants a subject, but nothing in "
		"`gateway.listen` asks for certificates by `client_ca_file`\n" },
	    { "gateway:\n  listen:\n  - tls: {certificate_file: "
	      FAKE_CERTIFICATE ", key_file: " FAKE_CERTIFICATE
	      ", client_ca_file: " FAKE_CERTIFICATE "}\n"
	      "peers:\n- ae_title: A\n"
	      "  tls: {subject: CN=a, required: false}\n",
		"t.yaml:6: peers[].tls: wants a subject and lets plain "
		"connections past it; leave `required: false` out\n" });
}

static void
peers(void **state)
{
	EXPECT(
	    { "peers:\n- address: 10.1.2.3\n",
		"t.yaml:2: peers[].ae_title: is missing; wanted an AE title of "
		"1 to 16 characters, such as CT1, or one of: *\n" },
	    { "peers:\n- ae_title: '*'\n",
		"t.yaml:2: peers[].address: is missing; a peer of any title "
		"wants an address or a network, such as 10.1.2.0/24\n" },
	    { "peers:\n- ae_title: A\n  address: []\n",
		"t.yaml:3: peers[].address: is an empty list; leave it out for "
		"any address\n" },
	    { "peers:\n- ae_title: A\n  address: [10.1.2.3/24, host]\n",
		"t.yaml:3: peers[].address[]: found `10.1.2.3/24`; wanted an "
		"address or a network with nothing behind its prefix, such as "
		"10.1.2.7 or 10.1.2.0/24\n"
		"t.yaml:3: peers[].address[]: found `host`; wanted an address "
		"or a network with nothing behind its prefix, such as 10.1.2.7 "
		"or 10.1.2.0/24\n" },
	    { "peers:\n- {ae_title: A}\n- {ae_title: B}\n- {ae_title: A}\n",
		"t.yaml:4: peers[]: title and address are those of the peer in "
		"line 2; wanted one entry\n" },
	    { "peers:\n- {ae_title: A, address: [10.1.0.0/16, \"2001:db8::1\"]}\n"
	      "- {ae_title: A, address: \"2001:db8:0::1/128\"}\n",
		"t.yaml:3: peers[]: title and address are those of the peer in "
		"line 2; wanted one entry\n" });
	config_unref(load_good("peers:\n- {ae_title: A}\n- {ae_title: a}\n"
	    "- {ae_title: A, address: 10.1.2.0/24}\n"
	    "- {ae_title: A, address: 10.1.2.3}\n"
	    "- {ae_title: '*', address: 10.1.2.3}\n"));
}

static void
destinations_and_routes(void **state)
{
	EXPECT(
	    { "destinations:\n- {name: a, type: fakedir, path: /x}\n"
	      "- {name: b, type: fakedir, path: /x}\n"
	      "- type: fakedir\n  path: /x\n  name: a\n",
		"t.yaml:6: destinations[].name: `a` is already the name of the "
		"destination in line 2; wanted another\n" },
	    { "destinations:\n- {name: a, type: fakedir, path: /x}\n"
	      "- {name: b, type: fakedir, path: /x}\nroutes:\n"
	      "- to: [a,\n   c]\n- to: d\n",
		"t.yaml:6: routes[].to[]: no destination is named `c`; known: a, "
		"b\n"
		"t.yaml:7: routes[].to: no destination is named `d`; known: a, "
		"b\n" },
	    { "routes:\n- to: cloud\n",
		"t.yaml:2: routes[].to: no destination is named `cloud`; none is "
		"configured\n" },
	    { "destinations:\n- {name: A, type: fakedir, path: /x}\nroutes:\n"
	      "- to: a\n",
		"t.yaml:2: destinations[].name: found `A`; wanted a name of at "
		"most 32 small letters, digits, - and _, such as cloud\n" });
}

static void
kinds(void **state)
{
	EXPECT(
	    { "destinations:\n- {name: a, type: fakweb, url: http://x}\n",
		"t.yaml:2: destinations[].type: unknown type `fakweb`; did you "
		"mean `fakeweb`?\n" },
	    { "destinations:\n- {name: a, type: s3, bucket: x}\n",
		"t.yaml:2: destinations[].type: found `s3`; wanted one of: "
		"fakeweb, fakedir\n" },
	    { "destinations:\n- {name: a, type: [fakeweb]}\n",
		"t.yaml:2: destinations[].type: found a list; wanted one of: "
		"fakeweb, fakedir\n" },
	    { "destinations:\n- {name: a, url: http://x}\n",
		"t.yaml:2: destinations[].type: is missing; wanted one of: "
		"fakeweb, fakedir\n" },
	    { "destinations:\n- {name: a, type: fakeweb}\n",
		"t.yaml:2: destinations[].url: is missing; wanted a URL, such as "
		"https://pacs.example.org/dicom-web\n" },
	    { "destinations:\n- {name: a, type: fakeweb, url: http://x,\n"
	      "   credential: basic}\n",
		"t.yaml:3: destinations[].credential: found `basic`; wanted a "
		"section with `type`, one of: none, basic\n" },
	    { "destinations:\n- {name: a, type: fakeweb, url: http://x,\n"
	      "   credential: {type: basik}}\n",
		"t.yaml:3: destinations[].credential.type: unknown type "
		"`basik`; did you mean `basic`?\n" },
	    { "destinations:\n- {name: a, type: fakeweb, url: http://x,\n"
	      "   credential: {type: basic}}\n",
		"t.yaml:3: destinations[].credential.user: is missing; wanted "
		"text\n" },
	    { "destinations:\n- {name: a, type: fakeweb, url: http://x,\n"
	      "   credential: {}}\n",
		"t.yaml:3: destinations[].credential.type: is missing; wanted "
		"one of: none, basic\n" },
	    { "destinations:\n- name: a\n  type: fakeweb\n  url: http://x\n"
	      "  tls: {}\n",
		"t.yaml:5: destinations[].tls: has no effect on http; wanted a "
		"URL of https\n" },
	    { "destinations:\n- name: a\n  type: fakeweb\n  url: http://x\n"
	      "  connections: 17\n",
		"t.yaml:2: destinations[]: too much at once\n" });
}

#define IN_WEB(lines) "destinations:\n- name: a\n  type: fakeweb\n" \
		      "  url: http://x\n" lines

static void
rates_and_windows(void **state)
{
	EXPECT(
	    { IN_WEB("  rate: 50\n"),
		"t.yaml:5: destinations[].rate: found `50`; wanted a rate in bits "
		"per second from 64kbit to 1000Gbit, such as 50Mbit, or none\n" },
	    { IN_WEB("  rate: 0Mbit\n"),
		"t.yaml:5: destinations[].rate: found `0Mbit`; wanted a rate in "
		"bits per second from 64kbit to 1000Gbit, such as 50Mbit, or "
		"none\n" },
	    { IN_WEB("  rate: \"50Mbit\"\n"),
		"t.yaml:5: destinations[].rate: found the quoted text `50Mbit`; "
		"wanted a rate in bits per second from 64kbit to 1000Gbit, such "
		"as 50Mbit, or none\n" },
	    { IN_WEB("  rate: none\n"),
		"t.yaml:5: destinations[].rate: is `none` at all times, so nothing "
		"would ever be sent; wanted a window with a rate\n" },
	    { IN_WEB("  rate: none\n  windows: [{days: mon, rate: none}]\n"),
		"t.yaml:5: destinations[].rate: is `none` at all times, so nothing "
		"would ever be sent; wanted a window with a rate\n" },
	    { IN_WEB("  windows:\n  - days: [mon-fri, sat-, moon-fri, -, 'mon-']\n"),
		"t.yaml:6: destinations[].windows[].days[]: found `sat-`; wanted "
		"one or a list of: mon, tue, wed, thu, fri, sat, sun, and of "
		"ranges such as mon-tue\n"
		"t.yaml:6: destinations[].windows[].days[]: found `moon-fri`; "
		"wanted one or a list of: mon, tue, wed, thu, fri, sat, sun, and "
		"of ranges such as mon-tue\n"
		"t.yaml:6: destinations[].windows[].days[]: found `-`; wanted one "
		"or a list of: mon, tue, wed, thu, fri, sat, sun, and of ranges "
		"such as mon-tue\n"
		"t.yaml:6: destinations[].windows[].days[]: found the quoted text "
		"`mon-`; wanted one or a list of: mon, tue, wed, thu, fri, sat, "
		"sun, and of ranges such as mon-tue\n" },
	    { IN_WEB("  windows:\n  - days: []\n"),
		"t.yaml:6: destinations[].windows[].days: is an empty list; leave "
		"it out for every day\n" },
	    { IN_WEB("  windows:\n  - from: 7:00\n    to: 24:01\n"),
		"t.yaml:6: destinations[].windows[].from: found `7:00`; wanted a "
		"time of day of at most 23:59, such as 00:00\n"
		"t.yaml:7: destinations[].windows[].to: found `24:01`; wanted a "
		"time of day of at most 24:00, such as 24:00\n" },
	    { IN_WEB("  windows:\n  - from: 24:00\n  - from: 07:00\n"
		     "    to: '07:00'\n"),
		"t.yaml:6: destinations[].windows[].from: found `24:00`; wanted a "
		"time of day of at most 23:59, such as 00:00\n"
		"t.yaml:8: destinations[].windows[].to: is the same as `from`; "
		"wanted \"00:00\" and \"24:00\" for the whole day\n" },
	    { IN_WEB("  windows: {days: mon}\n"),
		"t.yaml:5: destinations[].windows: found a section; wanted a list "
		"of sections, such as `windows: [{days: ...}]`\n" },
	    { IN_WEB("  windows:\n  - start: 07:00\n    rats: none\n"),
		"t.yaml:6: destinations[].windows[].start: unknown option "
		"`start`\n"
		"t.yaml:7: destinations[].windows[].rats: unknown option `rats`; "
		"did you mean `rate`?\n" });
}

static void
more_windows_than_anybody_wants(void **state)
{
	struct buf text = BUF_INIT(1 << 16);

	(void)state;
	(void)buf_add_str(&text, IN_WEB("  windows:\n"));
	for (int i = 0; i < 65; i++)
		(void)buf_add_str(&text, "  - {rate: none}\n");
	load_bad(text.data, "t.yaml:5: destinations[].windows: are 65; wanted at "
	    "most 64\n");
	buf_free(&text);
}

static void
proxies(void **state)
{
	EXPECT(
	    { IN_WEB("  proxy: http://proxy:3128\n"),
		"t.yaml:5: destinations[].proxy: found `http://proxy:3128`; wanted "
		"a section of options, such as `proxy: {url: ...}`\n" },
	    { IN_WEB("  proxy: {user: x}\n"),
		"t.yaml:5: destinations[].proxy.url: is missing; wanted a URL, "
		"such as https://pacs.example.org/dicom-web\n" },
	    { IN_WEB("  proxy:\n    url: http://proxy:3128\n    user: x\n"),
		"t.yaml:7: destinations[].proxy.user: has no effect without "
		"`password_file`; write both or none\n" },
	    { IN_WEB("  proxy:\n    url: http://proxy:3128/x\n"
		     "    password_file: " FAKE_CERTIFICATE "\n"
		     "    ca_file: " FAKE_CERTIFICATE "\n"),
		"t.yaml:6: destinations[].proxy.url: holds a path; wanted a host "
		"and a port, such as http://proxy.local:3128\n"
		"t.yaml:7: destinations[].proxy.password_file: has no effect "
		"without `user`; write both or none\n"
		"t.yaml:8: destinations[].proxy.ca_file: has no effect on a proxy "
		"that is reached by http://\n" },
	    { IN_WEB("  proxy: {url: http://u:p@proxy:3128}\n"),
		"t.yaml:5: destinations[].proxy.url: found "
		"`http://...@proxy:3128`, which holds a user; users and secrets "
		"go into options of their own; wanted a URL, such as "
		"https://pacs.example.org/dicom-web\n" },
	    { IN_WEB("  proxy: {url: http://proxy:3128, user: 'a:b',\n"
		     "    password_file: " FAKE_CERTIFICATE "}\n"),
		"t.yaml:5: destinations[].proxy.user: holds a colon, which no user "
		"of a proxy may hold\n" });
	config_unref(load_good(IN_WEB("  proxy: {url: https://p/, user: site7,\n"
	    "    password_file: " FAKE_CERTIFICATE ",\n"
	    "    ca_file: " FAKE_CERTIFICATE "}\n")));
}

static void
what_routes_look_at(void **state)
{
	EXPECT(
	    { "routes:\n- {sop_class: [CTImageStorage, CT Image, '1.2.']}\n",
		"t.yaml:2: routes[].sop_class[]: found `CT Image`; wanted the UID "
		"or the keyword of a SOP class, such as CTImageStorage\n"
		"t.yaml:2: routes[].sop_class[]: found `1.2.`; wanted the UID or "
		"the keyword of a SOP class, such as CTImageStorage\n" },
	    { "routes:\n- body_part: ' HEAD'\n",
		"t.yaml:2: routes[].body_part: found ` HEAD`; wanted a body part, "
		"perhaps with * and ?, such as HEAD\n" },
	    { "routes:\n- station: 'A\\B'\n",
		"t.yaml:2: routes[].station: found `A\\B`; wanted a station name, "
		"perhaps with * and ?, such as \"CT_ER*\"\n" },
	    { "routes:\n- description: [x, {}]\n",
		"t.yaml:2: routes[].description[]: found a section; wanted a text "
		"or a list, such as [A, B]\n" });
}

static void
no_kinds_at_all(void **state)
{
	config_set_kinds(NULL, NULL);
	EXPECT({ "destinations:\n- {name: a, type: dicomweb}\n",
	    "t.yaml:2: destinations[].type: found `dicomweb`; wanted a kind, "
	    "but this program has none\n" });
	(void)use_fake_kinds(NULL);
}

static void
all_at_once_in_order_of_lines(void **state)
{
	EXPECT({ "acess: open\n"
		 "routes:\n"
		 "- to: nowhere\n"
		 "gateway:\n"
		 "  called: nobody\n"
		 "  max_pdu: 1\n"
		 "study: {complete_after: 5}\n"
		 "access: maybe\n",
	    "t.yaml:1: acess: unknown option `acess`; did you mean `access`?\n"
	    "t.yaml:3: routes[].to: no destination is named `nowhere`; none is "
	    "configured\n"
	    "t.yaml:5: gateway.called: found `nobody`; wanted one of: listed, "
	    "any\n"
	    "t.yaml:6: gateway.max_pdu: found `1`; wanted a whole number from "
	    "4096 to 131072, such as 131072\n"
	    "t.yaml:7: study.complete_after: found `5`; wanted a time from "
	    "100ms to 7d, such as 60s\n"
	    "t.yaml:8: access: found `maybe`; wanted one of: listed, open\n" });
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unknown_options),
		cmocka_unit_test(wrong_types),
		cmocka_unit_test(values_out_of_range),
		cmocka_unit_test(texts_of_a_form),
		cmocka_unit_test(gateway_sense),
		cmocka_unit_test(reserve_larger_than_the_disk),
		cmocka_unit_test(sockets),
		cmocka_unit_test(tls_combinations),
		cmocka_unit_test(peers),
		cmocka_unit_test(destinations_and_routes),
		cmocka_unit_test(kinds),
		cmocka_unit_test(rates_and_windows),
		cmocka_unit_test(more_windows_than_anybody_wants),
		cmocka_unit_test(proxies),
		cmocka_unit_test(what_routes_look_at),
		cmocka_unit_test(no_kinds_at_all),
		cmocka_unit_test(all_at_once_in_order_of_lines),
	};

	return cmocka_run_group_tests(tests, use_fake_kinds, NULL);
}
