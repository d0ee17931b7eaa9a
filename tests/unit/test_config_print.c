/* test_config_print.c - what is read, what is printed of it and read again, who
 * holds it, and what a reload can change.
 */
#include <pthread.h>
#include <unistd.h>

#include "tests/unit/config_support.h"

static const char full[] =
    "gateway:\n"
    "  ae_titles: [CAUSEWAY, \"OLD PACS\"]\n"
    "  called: any\n"
    "  listen:\n"
    "    - {address: 0.0.0.0, port: 104}\n"
    "    - port: 2762\n"
    "      tls: {certificate_file: /etc/passwd, key_file: /etc/passwd,\n"
    "        client_ca_file: /etc/passwd, profile: legacy_aes}\n"
    "  max_associations: 9\n"
    "  max_pdu: 32768\n"
    "  handshake_timeout: 1500ms\n"
    "  message_timeout: 90s\n"
    "  idle_timeout: 1h\n"
    "  control_socket: /run/c.sock\n"
    "log: {level: debug}\n"
    "access: open\n"
    "peers:\n"
    "  - ae_title: \"*\"\n"
    "    address: [10.1.2.0/24, \"2001:db8::1\"]\n"
    "    allow: []\n"
    "  - {ae_title: US3, allow: echo, max_pdu: 4096, idle_timeout: 30min,\n"
    "     complete_after: 10min, message_timeout: 5s,\n"
    "     assume_charset: ISO_IR 100, trust_priority: true, priority: stat,\n"
    "     note: \"Room \\\"4\\\", M\\u00fcller \\\\ # & * : {x}\",\n"
    "     transfer_syntaxes: [1.2.840.10008.1.2.1, 1.2.840.10008.1.2],\n"
    "     tls: {required: true, subject: \"CN=us3\"}}\n"
    "  - {ae_title: \"null\"}\n"
    "  - {ae_title: \"104\"}\n"
    "  - {ae_title: \"- a\"}\n"
    "  - {ae_title: \"a: b #c\"}\n"
    "spool: {directory: /nonexistent/spool, reserve: 1GiB,\n"
    "  keep_delivered: 0s, keep_index: 30d}\n"
    "study: {complete_after: 500ms, complete_at_most: 2h, start_early: true}\n"
    "unrouted: hold\n"
    "destinations:\n"
    "  - name: cloud\n"
    "    type: fakeweb\n"
    "    url: https://pacs.example.org:8443/dicom-web//\n"
    "    tls: {}\n"
    "    credential: {type: basic, user: site7, password_file: /etc/passwd}\n"
    "    max_request: 5MiB\n"
    "    on_conflict: replace\n"
    "    rate: 50Mbit\n"
    "    windows:\n"
    "      - {days: mon-fri, from: \"07:00\", to: 19:00, rate: 10Mbit}\n"
    "      - {days: [fri-mon, wed], from: 22:00, to: 06:00}\n"
    "      - {days: sun, rate: none}\n"
    "  - {type: fakedir, name: d2, path: /out, tags: []}\n"
    "  - {type: fakedir, name: d3, path: /out}\n"
    "  - {type: fakeweb, name: d4, url: http://x, credential: {type: none}}\n"
    "routes:\n"
    "  - {from: [CT1, \"MR*\"], modality: CT, to: [cloud, d2], final: true}\n"
    "  - {called: CAUSEWAY, to: []}\n"
    "  - {sop_class: [CTImageStorage, 1.2.840.10008.5.1.4.1.1.4],\n"
    "     body_part: [HEAD, \"*SPINE\"], station: CT_ER?,\n"
    "     description: \"*sch\u00e4del*\", to: cloud}\n"
    "  - {}\n";

static void
defaults_are_those_of_the_contract(void **state)
{
	const struct config *c = load_good("access: listed\n");
	const struct config_listen *l = c->gateway->listen.v[0];

	(void)state;
	assert_int_equal(c->gateway->ae_titles.n, 1);
	assert_string_equal(c->gateway->ae_titles.v[0], "CAUSEWAY");
	assert_int_equal(c->gateway->called, CONFIG_CALLED_LISTED);
	assert_int_equal(c->gateway->listen.n, 1);
	assert_null(l->address);
	assert_int_equal(l->port, 11112);
	assert_null(l->tls);
	assert_int_equal(c->gateway->max_associations, 64);
	assert_int_equal(c->gateway->max_pdu, 131072);
	assert_int_equal(c->gateway->handshake_timeout_ms, 30000);
	assert_int_equal(c->gateway->message_timeout_ms, 60000);
	assert_int_equal(c->gateway->idle_timeout_ms, 900000);
	assert_string_equal(c->gateway->control_socket,
	    "/run/causeway/control.sock");
	assert_null(c->gateway->timezone);
	assert_int_equal(c->log->level, 2);
	assert_int_equal(c->access, CONFIG_ACCESS_LISTED);
	assert_int_equal(c->peers.n, 0);
	assert_string_equal(c->spool->directory, "/var/lib/causeway/spool");
	assert_int_equal(c->spool->reserve, 5ull << 30);
	assert_int_equal(c->spool->keep_delivered_ms, 7 * 86400000ull);
	assert_int_equal(c->spool->keep_index_ms, 365 * 86400000ull);
	assert_int_equal(c->study->complete_after_ms, 60000);
	assert_int_equal(c->study->complete_at_most_ms, 3600000);
	assert_false(c->study->start_early);
	assert_int_equal(c->unrouted, CONFIG_UNROUTED_HOLD);
	assert_false(c->unrouted_written);
	assert_int_equal(c->destinations.n, 0);
	assert_int_equal(c->routes.n, 0);
	config_unref(c);
}

static void
peers_as_written(void **state)
{
	const struct config *c = load_good(full);
	const struct config_peer *any = c->peers.v[0], *us3 = c->peers.v[1];

	(void)state;
	assert_int_equal(c->peers.n, 6);
	assert_string_equal(any->ae_title, "*");
	assert_int_equal(any->line, 18);
	assert_int_equal(any->allow, 0);
	assert_int_equal(any->address.n, 2);
	assert_int_equal(any->max_pdu, 0);
	assert_int_equal(any->priority, CONFIG_PRIORITY_NORMAL);
	assert_null(any->tls);
	assert_int_equal(us3->allow, CONFIG_ALLOW_ECHO);
	assert_int_equal(us3->max_pdu, 4096);
	assert_int_equal(us3->idle_timeout_ms, 1800000);
	assert_int_equal(us3->message_timeout_ms, 5000);
	assert_int_equal(us3->complete_after_ms, 600000);
	assert_string_equal(us3->assume_charset, "ISO_IR 100");
	assert_string_equal(us3->transfer_syntaxes.v[1], "1.2.840.10008.1.2");
	assert_true(us3->trust_priority);
	assert_int_equal(us3->priority, CONFIG_PRIORITY_STAT);
	assert_string_equal(us3->note,
	    "Room \"4\", M\xc3\xbcller \\ # & * : {x}");
	assert_true(us3->tls->required);
	assert_string_equal(us3->tls->subject, "CN=us3");
	config_unref(c);
	c = load_good("peers: [{ae_title: A}]\n");
	us3 = c->peers.v[0];
	assert_int_equal(us3->allow, CONFIG_ALLOW_ECHO | CONFIG_ALLOW_STORE);
	config_unref(c);
}

static void
kinds_as_written(void **state)
{
	const struct config *c = load_good(full);
	const struct config_destination *d = config_destination_find(c, "cloud");
	const struct fake_web *web = d->choice.options;
	const struct fake_basic *basic = web->credential.options;
	const struct fake_dir *dir;

	(void)state;
	assert_ptr_equal(d->choice.kind, &fake_web);
	assert_int_equal(web->line, d->line);
	assert_string_equal(web->url, "https://pacs.example.org:8443/dicom-web");
	assert_int_equal(web->connections, 4);
	assert_int_equal(web->max_request, 5 << 20);
	assert_int_equal(web->timeout_ms, 0);
	assert_int_equal(web->on_conflict, 1);
	assert_non_null(web->tls);
	assert_null(web->tls->ca_file);
	assert_ptr_equal(web->credential.kind, &fake_basic);
	assert_string_equal(basic->user, "site7");
	dir = config_destination_find(c, "d2")->choice.options;
	assert_int_equal(dir->tags.n, 0);
	dir = config_destination_find(c, "d3")->choice.options;
	assert_int_equal(dir->tags.n, 2);
	assert_string_equal(dir->tags.v[1], "b");
	assert_null(config_destination_find(c, "d5"));
	config_unref(c);
}

static void
routes_as_written(void **state)
{
	const struct config *c = load_good(full);
	const struct config_route *a = c->routes.v[0], *b = c->routes.v[1];

	(void)state;
	assert_int_equal(a->from.n, 2);
	assert_string_equal(a->from.v[1], "MR*");
	assert_int_equal(a->modality.n, 1);
	assert_int_equal(a->to.n, 2);
	assert_true(a->final);
	assert_string_equal(b->called.v[0], "CAUSEWAY");
	assert_int_equal(b->to.n, 0);
	assert_false(b->final);
	assert_int_equal(b->sop_class.n, 0);
	b = c->routes.v[2];
	assert_int_equal(b->sop_class.n, 2);
	assert_string_equal(b->sop_class.v[0], "CTImageStorage");
	assert_string_equal(b->body_part.v[1], "*SPINE");
	assert_string_equal(b->station.v[0], "CT_ER?");
	assert_string_equal(b->description.v[0], "*sch\xc3\xa4""del*");
	config_unref(c);
}

static void
rates_and_windows_as_written(void **state)
{
	const struct config *c = load_good(full);
	const struct config_destination *d = config_destination_find(c, "cloud");
	const struct config_window *day = d->windows.v[0], *night = d->windows.v[1],
				   *sunday = d->windows.v[2];

	(void)state;
	assert_int_equal(d->rate, 6250000);
	assert_int_equal(d->windows.n, 3);
	assert_int_equal(day->days, 0x1f);
	assert_int_equal(day->from, 7 * 60);
	assert_int_equal(day->to, 19 * 60);
	assert_int_equal(day->rate, 1250000);
	assert_int_equal(night->days, 0x75);	/* fri, sat, sun, mon; wed */
	assert_int_equal(night->from, 22 * 60);
	assert_int_equal(night->to, 6 * 60);
	assert_int_equal(night->rate, 0);
	assert_int_equal(sunday->days, 0x40);
	assert_int_equal(sunday->from, 0);
	assert_int_equal(sunday->to, 24 * 60);
	assert_true(sunday->rate == CONFIG_RATE_NONE);
	d = config_destination_find(c, "d2");
	assert_int_equal(d->rate, 0);
	assert_int_equal(d->windows.n, 0);
	config_unref(c);
	c = load_good("destinations: [{name: a, type: fakedir, path: /o,\n"
	    " rate: none, windows: [{rate: 64kbit, from: 00:00, to: 00:01}]}]\n");
	d = config_destination_find(c, "a");
	assert_true(d->rate == CONFIG_RATE_NONE);
	day = d->windows.v[0];
	assert_int_equal(day->days, 0x7f);
	assert_int_equal(day->rate, 8000);
	config_unref(c);
}

static void
expect_round_trip(const char *text)
{
	struct buf once = BUF_INIT(1 << 20), twice = BUF_INIT(1 << 20);
	const struct config *a = load_good(text), *b;
	bool written = a->unrouted_written;

	assert_int_equal(config_print(a, &once), 0);
	config_unref(a);
	b = load_good(once.data);
	assert_int_equal(config_print(b, &twice), 0);
	assert_string_equal(once.data, twice.data);
	assert_int_equal(b->unrouted_written, written);
	config_unref(b);
	buf_free(&once);
	buf_free(&twice);
}

static void
print_is_read_as_it_was(void **state)
{
	(void)state;
	expect_round_trip(full);
	expect_round_trip("access: listed\n");
	expect_round_trip("gateway: {ae_title: X, timezone: Europe/Berlin}\n"
	    "peers:\nspool:\nroutes: []\n");
	expect_round_trip("peers: [{ae_title: '~'}, {ae_title: 'a\"b'},"
	    " {ae_title: \"'\"}, {ae_title: 'a#b'}, {ae_title: '#b'},"
	    " {ae_title: 'a,b]'}, {ae_title: '!x'}, {ae_title: '%x'},"
	    " {ae_title: a:/b}, {ae_title: 'a:'}, {ae_title: '-'},"
	    " {ae_title: '---'}, {ae_title: true}, {ae_title: NULL}]\n");
}

static void
print_shows_what_is_in_effect(void **state)
{
	struct buf b = BUF_INIT(65536);
	const struct config *c = load_good(full);

	(void)state;
	assert_int_equal(config_print(c, &b), 0);
	assert_non_null(strstr(b.data,
	    "gateway:\n"
	    "  ae_titles: [CAUSEWAY, \"OLD PACS\"]\n"
	    "  called: any\n"
	    "  listen:\n"
	    "    - port: 104\n"
	    "      address: 0.0.0.0\n"
	    "    - port: 2762\n"
	    "      tls:\n"
	    "        certificate_file: /etc/passwd\n"
	    "        key_file: /etc/passwd\n"
	    "        client_ca_file: /etc/passwd\n"
	    "        profile: legacy_aes\n"
	    "  max_associations: 9\n"));
	assert_non_null(strstr(b.data,
	    "  - name: d4\n"
	    "    type: fakeweb\n"
	    "    url: http://x\n"
	    "    credential:\n"
	    "      type: none\n"
	    "    connections: 4\n"
	    "    max_request: 100MiB\n"
	    "    on_conflict: refuse\n"));
	assert_non_null(strstr(b.data,
	    "    rate: 50Mbit\n"
	    "    windows:\n"
	    "      - days: [mon, tue, wed, thu, fri]\n"
	    "        from: \"07:00\"\n"
	    "        to: \"19:00\"\n"
	    "        rate: 10Mbit\n"
	    "      - days: [mon, wed, fri, sat, sun]\n"
	    "        from: \"22:00\"\n"
	    "        to: \"06:00\"\n"
	    "      - days: [sun]\n"
	    "        from: \"00:00\"\n"
	    "        to: \"24:00\"\n"
	    "        rate: none\n"));
	assert_non_null(strstr(b.data, "    tls: {}\n"));
	assert_non_null(strstr(b.data, "    tags: []\n"));
	assert_non_null(strstr(b.data, "\nunrouted: hold\n"));
	config_unref(c);
	buf_free(&b);
}

static void
destinations_are_compared_by_text(void **state)
{
	struct buf a = BUF_INIT(65536), b = BUF_INIT(65536);
	const struct config *c = load_good("destinations:\n"
	    "- {name: x, type: fakeweb, url: http://x}\n");
	const struct config *d = load_good("# moved\ndestinations:\n"
	    "- {name: w, type: fakeweb, url: http://x}\n"
	    "- url: http://x/\n  type: fakeweb\n  name: x\n  connections: 4\n");

	(void)state;
	assert_int_equal(config_print_destination(c->destinations.v[0], &a), 0);
	assert_int_equal(config_print_destination(d->destinations.v[1], &b), 0);
	assert_string_equal(a.data, "name: x\ntype: fakeweb\nurl: http://x\n"
	    "connections: 4\nmax_request: 100MiB\non_conflict: refuse\n"
	    "windows: []\n");
	assert_string_equal(a.data, b.data);
	buf_clear(&b);
	assert_int_equal(config_print_destination(d->destinations.v[0], &b), 0);
	assert_string_not_equal(a.data, b.data);
	config_unref(c);
	config_unref(d);
	buf_free(&a);
	buf_free(&b);
}

static void
expect_restart(const char *old_text, const char *new_text, const char *want)
{
	const struct config *old = load_good(old_text);
	const struct config *new = load_good(new_text);
	struct buf b = BUF_INIT(4096);

	assert_int_equal(config_restart_needed(old, new, &b), 0);
	assert_string_equal(b.data, want);
	config_unref(old);
	config_unref(new);
	buf_free(&b);
}

static void
what_a_reload_cannot_change(void **state)
{
	static const char plain[] = "access: listed\n";

	(void)state;
	expect_restart(plain, plain, "");
	expect_restart(plain, "gateway: {listen: [{port: 11112}]}\n", "");
	expect_restart(plain, "gateway: {listen: [{port: 104}]}\n",
	    "gateway.listen");
	expect_restart(plain, "gateway: {timezone: Europe/Berlin,\n"
	    "  control_socket: /s}\nspool: {directory: /nonexistent}\n",
	    "gateway.control_socket, gateway.timezone, spool.directory");
	expect_restart(plain, "gateway: {ae_titles: [B], called: any,\n"
	    "  max_associations: 1, max_pdu: 4096, handshake_timeout: 1s,\n"
	    "  message_timeout: 1s, idle_timeout: 1s}\nlog: {level: debug}\n"
	    "access: open\npeers: [{ae_title: A}]\nspool: {reserve: 1GiB,\n"
	    "  keep_delivered: 1d, keep_index: 2d}\nunrouted: refuse\n"
	    "study: {complete_after: 1s}\nroutes: [{to: []}]\n", "");
}

/* Every table of `full` with its rows, bars escaped. */
static void
reference_has_every_option(void **state)
{
	struct buf b = BUF_INIT(1 << 20);

	(void)state;
	assert_int_equal(config_reference(&b), 0);
	assert_non_null(strstr(b.data, "\n## gateway.listen[].tls\n"));
	assert_non_null(strstr(b.data, "| `reserve` | a size from 1MiB to "
	    "1024TiB, such as 5GiB | `5GiB` | images are refused"));
	assert_non_null(strstr(b.data, "\n## destinations[].windows[]\n"));
	assert_non_null(strstr(b.data, "| `rate` | a rate in bits per second from "
	    "64kbit to 1000Gbit, such as 50Mbit, or none | - |"));
	assert_non_null(strstr(b.data, "| `from` | a time of day of at most 23:59, "
	    "such as 00:00 | `00:00` |"));
	assert_non_null(strstr(b.data, "| `days` | one or a list of: mon, tue, wed, "
	    "thu, fri, sat, sun, and of ranges such as mon-tue | `mon-sun` |"));
	assert_non_null(strstr(b.data, "## destinations[], `type: fakeweb`\n"));
	assert_non_null(strstr(b.data, "## destinations[], `type: fakedir`\n"));
	assert_non_null(strstr(b.data, "## credential, `type: basic`\n"));
	assert_non_null(strstr(b.data, "| refuse \\| replace |\n"));
	assert_non_null(strstr(b.data, "a change wants a restart |\n"));
	assert_null(strstr(strstr(b.data, "## credential, `type: basic`\n") + 1,
	    "## credential, `type: basic`\n"));
	buf_free(&b);
}

static void *
hold_and_drop(void *arg)
{
	const struct config *c = arg;
	int i;

	for (i = 0; i < 10000; i++) {
		const struct config *mine = config_ref(c);

		if (mine->gateway->max_associations != 9)
			abort();
		config_unref(mine);
	}
	config_unref(c);
	return NULL;
}

static void
references_are_counted_across_threads(void **state)
{
	const struct config *c = load_good(full);
	pthread_t thread[4];
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, hold_and_drop,
		    (void *)(uintptr_t)config_ref(c)), 0);
	config_unref(c);
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	config_unref(NULL);
}

/* The file as shipped lets nobody in and sends nowhere, and is right. */
static void
shipped_file_loads(void **state)
{
	struct buf problems = BUF_INIT(65536);
	const struct config *c;

	(void)state;
	if (access("packaging/causeway.yaml", R_OK) < 0)
		skip();
	if (config_load("packaging/causeway.yaml", &c, &problems) < 0)
		fail_msg("%s", problems.data);
	assert_int_equal(c->access, CONFIG_ACCESS_LISTED);
	assert_int_equal(c->peers.n, 0);
	assert_int_equal(c->destinations.n, 0);
	config_unref(c);
	buf_free(&problems);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_those_of_the_contract),
		cmocka_unit_test(peers_as_written),
		cmocka_unit_test(kinds_as_written),
		cmocka_unit_test(routes_as_written),
		cmocka_unit_test(rates_and_windows_as_written),
		cmocka_unit_test(print_is_read_as_it_was),
		cmocka_unit_test(print_shows_what_is_in_effect),
		cmocka_unit_test(destinations_are_compared_by_text),
		cmocka_unit_test(what_a_reload_cannot_change),
		cmocka_unit_test(reference_has_every_option),
		cmocka_unit_test(references_are_counted_across_threads),
		cmocka_unit_test(shipped_file_loads),
	};

	return cmocka_run_group_tests(tests, use_fake_kinds, NULL);
}
