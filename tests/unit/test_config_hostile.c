/* test_config_hostile.c - what is no configuration at all: broken YAML, YAML that
 * does too much, binary, endless and nested files, files that cannot be read.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/cleanup.h"
#include "tests/unit/config_support.h"

static void
empty_files_are_refused(void **state)
{
	static const char says_nothing[] = "t.yaml:1: the file says nothing; it "
	    "needs at least one option, such as `access: listed`\n";

	(void)state;
	load_bad("", says_nothing);
	load_bad("# only a comment\n", says_nothing);
	load_bad("---\n...\n", says_nothing);
	load_bad("~\n", says_nothing);
	load_bad("- a\n", "t.yaml:1: the file is no set of options; wanted lines "
	    "such as `access: listed`\n");
	load_bad("\n\nhello\n", "t.yaml:3: the file is no set of options; wanted "
	    "lines such as `access: listed`\n");
}

static void
syntax_errors_have_their_line(void **state)
{
	(void)state;
	load_bad("gateway:\n  called: any\n\tmax_pdu: 4096\n",
	    "t.yaml:3: not YAML: indented by a tab; use spaces\n");
	load_bad("access: listed\npeers: [\n", "t.yaml:3: not YAML: did not find "
	    "expected node content (while parsing a flow node from line 3)\n");
	load_bad("gateway:\n  called: any\n max_pdu: 1\n", "t.yaml:3: not YAML: "
	    "did not find expected key (while parsing a block mapping from "
	    "line 1)\n");
	load_bad("access: \"listed\n", "t.yaml:2: not YAML: found unexpected end "
	    "of stream (while scanning a quoted scalar from line 1)\n");
	load_bad("peers:\n- ae_title: *\n", "t.yaml:2: not YAML: text that begins "
	    "with * must be in quotes\n");
	load_bad("access: @x\n", "t.yaml:1: not YAML: found character that cannot "
	    "start any token (while scanning for the next token from line 1)\n");
	load_bad("a: b: c\n", "t.yaml:1: not YAML: mapping values are not allowed "
	    "in this context\n");
}

static void
keys_are_written_once(void **state)
{
	(void)state;
	load_bad("access: listed\nlog: {level: info}\naccess: open\n",
	    "t.yaml:3: access: is written twice; first in line 1\n");
	load_bad("peers:\n- ae_title: A\n  note: x\n  ae_title: B\n  note: y\n"
	    "  note: z\n",
	    "t.yaml:4: peers[].ae_title: is written twice; first in line 2\n"
	    "t.yaml:5: peers[].note: is written twice; first in line 3\n"
	    "t.yaml:6: peers[].note: is written twice; first in line 3\n");
	load_bad("gateway: {called: any}\ngateway: {nonsense: 1}\n",
	    "t.yaml:2: gateway: is written twice; first in line 1\n");
}

static void
yaml_that_does_too_much(void **state)
{
	(void)state;
	load_bad("access: &a listed\nunrouted: *a\n",
	    "t.yaml:1: an anchor (&) is not used here; write the value out, in "
	    "quotes if it begins with *, & or !\n"
	    "t.yaml:2: an alias (*) is not used here; write the value out, in "
	    "quotes if it begins with *, & or !\n"
	    "t.yaml:2: unrouted: found nothing; wanted one of: hold, refuse\n");
	load_bad("access: !!str listed\n",
	    "t.yaml:1: a tag (!) is not used here; write the value out, in quotes "
	    "if it begins with *, & or !\n");
	load_bad("access: listed\n---\naccess: open\n",
	    "t.yaml:2: a second document begins here (---); only one is read\n");
	load_bad("? [a, b]\n: c\n",
	    "t.yaml:1: the name of an option cannot be a list or a section\n");
	load_bad("access: \"lis\\x1b[2Jted\"\n",
	    "t.yaml:1: a text with a line break or a character that cannot be "
	    "printed\n"
	    "t.yaml:1: access: found the quoted text ``; wanted one of: listed, "
	    "open\n");
	load_bad("peers:\n- ae_title: A\n  note: |\n    x\n    y\n",
	    "t.yaml:3: a text with a line break or a character that cannot be "
	    "printed\n"
	    "t.yaml:3: peers[].note: found the quoted text ``; wanted text\n");
}

static void
binary_and_other_encodings(void **state)
{
	static const char dicom[] = "\0\0\0\0DICM\x02\0\0\0UL\x04\0";
	static const char utf16[] = "\xff\xfe" "a\0:\0b\0";

	(void)state;
	load_bad_bytes(dicom, sizeof(dicom), "t.yaml:1: not UTF-8 text: control "
	    "characters are not allowed\n");
	load_bad_bytes(utf16, sizeof(utf16), "t.yaml:1: not UTF-8 text: invalid "
	    "leading UTF-8 octet\n");
	load_bad("access: listed\n# M\xfcller\n",
	    "t.yaml:2: not UTF-8 text: invalid leading UTF-8 octet\n");
	load_bad("access: listed\n# \xc3", "t.yaml:2: not UTF-8 text: incomplete "
	    "UTF-8 octet sequence\n");
	config_unref(load_good("\xef\xbb\xbf" "access: listed\r\n"
	    "unrouted: refuse\r\n"));
}

static char *
repeat(const char *head, const char *unit, size_t n)
{
	size_t head_len = strlen(head), len = strlen(unit), i;
	char *s = xcalloc(1, head_len + n * len + 1);

	memcpy(s, head, head_len);
	for (i = 0; i < n; i++)
		memcpy(s + head_len + i * len, unit, len);
	return s;
}

static void
load_bad_repeated(const char *head, const char *unit, size_t n, const char *want)
{
	AUTO_FREE char *text = repeat(head, unit, n);

	load_bad(text, want);
}

static void
depth_and_number_are_bounded(void **state)
{
	(void)state;
	load_bad_repeated("a: ", "[", 200000, "t.yaml:1: nested more than 16 "
	    "deep\n");
	load_bad_repeated("", "{a: ", 100000, "t.yaml:1: nested more than 16 "
	    "deep\n");
	load_bad_repeated("a:\n", "- ", 100000, "t.yaml:2: nested more than 16 "
	    "deep\n");
	load_bad_repeated("peers:\n", "- {}\n", 5000, "t.yaml:4098: more than "
	    "4096 in one list\n");
	load_bad_repeated("routes:\n", "- {to: [a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,"
	    "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a]}\n", 4000, "t.yaml:1874: more "
	    "than 65536 values\n");
}

static void
sections_are_bounded(void **state)
{
	struct buf text = BUF_INIT(1 << 20);
	int i;

	(void)state;
	for (i = 0; i < 300; i++)
		(void)buf_printf(&text, "key%d: 1\n", i);
	load_bad(text.data, "t.yaml:257: more than 256 options in one section\n");
	buf_free(&text);
}

static void
texts_are_bounded(void **state)
{
	AUTO_FREE char *text = repeat("access: ", "x", 500000);
	AUTO_FREE char *shown = repeat("access: ", "\xc3\xbc", 2000);

	(void)state;
	load_bad(text, "t.yaml:1: a text of 500000 bytes; at most 4096 are read\n"
	    "t.yaml:1: access: found ``; wanted one of: listed, open\n");
	load_bad(shown, "t.yaml:1: access: found "
	    "`\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
	    "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
	    "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
	    "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc...`; "
	    "wanted one of: listed, open\n");
}

static void
problems_are_bounded(void **state)
{
	AUTO_FREE char *text = repeat("peers:\n", "- 5\n", 4000);
	struct buf problems = BUF_INIT(1 << 20);
	const struct config *c;
	const char *end = "t.yaml: and 3800 more\n";

	(void)state;
	assert_int_equal(config_load_text("t.yaml", text, strlen(text), &c,
	    &problems), -EINVAL);
	assert_string_equal(problems.data + problems.len - strlen(end), end);
	buf_free(&problems);
}

/* Every prefix of a good file loads or is refused, and nothing else happens. */
static void
truncated_anywhere(void **state)
{
	static const char text[] = "gateway:\n  ae_titles: [A, \"B C\"]\n"
	    "  listen:\n    - {port: 104}\npeers:\n- ae_title: '*'\n"
	    "  address: [10.0.0.0/8, \"::1\"]\n  note: \"\\u00fc\"\n"
	    "destinations:\n- name: c\n  type: fakeweb\n  url: http://x\n"
	    "  credential: {type: basic, user: u}\nroutes: [{to: [c]}]\n";
	size_t len;

	(void)state;
	for (len = 0; len < sizeof(text); len++) {
		struct buf problems = BUF_INIT(65536);
		const struct config *c = NULL;
		int r;

		r = config_load_text("t.yaml", text, len, &c, &problems);
		assert_true(r == 0 ? problems.len == 0 : problems.len > 0);
		config_unref(c);
		buf_free(&problems);
	}
}

/* ---- files ------------------------------------------------------------- */

struct folder { char path[64]; };

static void
write_file(const struct folder *f, const char *name, const char *text,
    mode_t mode)
{
	AUTO_FREE char *path = xasprintf("%s/%s", f->path, name);
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static int
load_file(const struct folder *f, const char *name, const struct config **ret,
    struct buf *problems)
{
	AUTO_FREE char *path = xasprintf("%s/%s", f->path, name);

	return config_load(path, ret, problems);
}

static int
make_folder(void **state)
{
	struct folder *f = xcalloc(1, sizeof(*f));

	(void)snprintf(f->path, sizeof(f->path), "/tmp/test_config.XXXXXX");
	if (mkdtemp(f->path) == NULL)
		return -1;
	*state = f;
	return 0;
}

static int
remove_folder(void **state)
{
	static const char *const names[] = { "c.yaml", "cert.pem", "big.yaml" };
	struct folder *f = *state;
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++) {
		AUTO_FREE char *path = xasprintf("%s/%s", f->path, names[i]);

		(void)unlink(path);
	}
	(void)rmdir(f->path);
	free(f);
	return 0;
}

static void
unreadable_configuration(void **state)
{
	const struct folder *f = *state;
	AUTO_FREE char *missing = xasprintf("%s/none.yaml: cannot be read: No "
	    "such file or directory\n", f->path);
	AUTO_FREE char *folder = xasprintf("%s/.: cannot be read: Is a "
	    "directory\n", f->path);
	struct buf problems = BUF_INIT(4096);
	const struct config *c = NULL;

	assert_int_equal(load_file(f, "none.yaml", &c, &problems), -ENOENT);
	assert_string_equal(problems.data, missing);
	buf_clear(&problems);
	assert_int_equal(load_file(f, ".", &c, &problems), -EISDIR);
	assert_string_equal(problems.data, folder);
	assert_null(c);
	buf_free(&problems);
}

static void
larger_than_any_configuration(void **state)
{
	const struct folder *f = *state;
	AUTO_FREE char *text = repeat("access: listed\n", "# comment\n", 120000);
	struct buf problems = BUF_INIT(4096);
	const struct config *c;

	write_file(f, "big.yaml", text, 0644);
	assert_int_equal(load_file(f, "big.yaml", &c, &problems), -EINVAL);
	assert_non_null(strstr(problems.data, "big.yaml:1: the file is larger "
	    "than 1024 KiB; no configuration is\n"));
	buf_free(&problems);
}

static void
relative_paths_begin_at_the_file(void **state)
{
	const struct folder *f = *state;
	AUTO_FREE char *spool = xasprintf("%s/spool", f->path);
	AUTO_FREE char *cert = xasprintf("%s/cert.pem", f->path);
	AUTO_FREE char *socket = xasprintf("%s/run/s", f->path);
	struct buf problems = BUF_INIT(4096);
	const struct config_listen *l;
	const struct config *c;

	write_file(f, "cert.pem", "x", 0600);
	write_file(f, "c.yaml", "spool: {directory: spool}\ngateway:\n"
	    "  control_socket: run/s\n  listen:\n"
	    "  - tls: {certificate_file: cert.pem, key_file: cert.pem}\n", 0600);
	assert_int_equal(load_file(f, "c.yaml", &c, &problems), 0);
	l = c->gateway->listen.v[0];
	assert_string_equal(c->spool->directory, spool);
	assert_string_equal(c->gateway->control_socket, socket);
	assert_string_equal(l->tls->certificate_file, cert);
	config_unref(c);
	buf_free(&problems);
}

static void
files_must_be_readable_by_us(void **state)
{
	const struct folder *f = *state;
	struct buf problems = BUF_INIT(8192);
	const struct config *c;

	write_file(f, "c.yaml", "gateway:\n  listen:\n  - tls:\n"
	    "      certificate_file: none.pem\n      key_file: .\n", 0600);
	assert_int_equal(load_file(f, "c.yaml", &c, &problems), -EINVAL);
	assert_non_null(strstr(problems.data, "c.yaml:4: "
	    "gateway.listen[].tls.certificate_file: user "));
	assert_non_null(strstr(problems.data, " cannot read /tmp/test_config."));
	assert_non_null(strstr(problems.data, "/none.pem: No such file or "
	    "directory\n"));
	assert_non_null(strstr(problems.data, "/.: Is a directory\n"));
	buf_free(&problems);
}

static void
permission_is_that_of_the_effective_user(void **state)
{
	const struct folder *f = *state;
	struct buf problems = BUF_INIT(8192);
	const struct config *c;
	uid_t us = geteuid();

	if (us != 0)
		skip();
	write_file(f, "cert.pem", "x", 0600);
	write_file(f, "c.yaml", "gateway: {listen: [{tls: {certificate_file: "
	    "cert.pem, key_file: cert.pem}}]}\n", 0644);
	assert_int_equal(chmod(f->path, 0755), 0);
	assert_int_equal(seteuid(65534), 0);
	assert_int_equal(load_file(f, "c.yaml", &c, &problems), -EINVAL);
	assert_int_equal(seteuid(us), 0);
	assert_non_null(strstr(problems.data, "key_file: user nobody cannot read "));
	assert_non_null(strstr(problems.data, "/cert.pem: Permission denied\n"));
	buf_free(&problems);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_files_are_refused),
		cmocka_unit_test(syntax_errors_have_their_line),
		cmocka_unit_test(keys_are_written_once),
		cmocka_unit_test(yaml_that_does_too_much),
		cmocka_unit_test(binary_and_other_encodings),
		cmocka_unit_test(depth_and_number_are_bounded),
		cmocka_unit_test(sections_are_bounded),
		cmocka_unit_test(texts_are_bounded),
		cmocka_unit_test(problems_are_bounded),
		cmocka_unit_test(truncated_anywhere),
		cmocka_unit_test_setup_teardown(unreadable_configuration,
		    make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(larger_than_any_configuration,
		    make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(relative_paths_begin_at_the_file,
		    make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(files_must_be_readable_by_us,
		    make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(
		    permission_is_that_of_the_effective_user, make_folder,
		    remove_folder),
	};

	return cmocka_run_group_tests(tests, use_fake_kinds, NULL);
}
