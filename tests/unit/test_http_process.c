/* test_http_process.c - commands that print keys: how their line is split, what they
 * inherit, and how they end; and keys for AWS by them.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "gateway/http/aws_session_int.h"
#include "tests/unit/issuer_support.h"

struct process_options {
	unsigned line;
	struct config_strings command;
};

static char dir[128];
static struct buf why = BUF_INIT(2000);

static char *
script(const char *name, const char *text)
{
	AUTO_FREE char *whole = xasprintf("#!/bin/sh\n%s\n", text);

	cloud_write(dir, name, whole, 0700);
	return issuer_path(dir, name);
}

static int
open_line(char *line, struct process **ret)
{
	const struct config_strings command = { .n = 1, .v = &line };

	buf_clear(&why);
	return process_new(&command, ret, &why);
}

/* What it printed, or NULL with *ret_error. */
static char *
run_line(char *line, int64_t limit_ms, int *ret_error)
{
	struct process *p;
	char *out = NULL;
	size_t len = 0;

	assert_int_equal(open_line(line, &p), 0);
	*ret_error = process_run(p, limit_ms, &out, &len, &why);
	if (*ret_error == 0)
		assert_int_equal(strlen(out), len);
	process_free(p);
	return out;
}

static void
prints(char *line, const char *wanted)
{
	int error;
	char *out = run_line(line, 30000, &error);

	if (error < 0)
		fail_msg("%s: %s", line, why.data);
	assert_string_equal(out, wanted);
	process_wipe(out);
}

static int
fails(char *line, int64_t limit_ms)
{
	int error;

	assert_null(run_line(line, limit_ms, &error));
	assert_true(why.len > 0);
	return error;
}

/* ---- words --------------------------------------------------------------- */

static void
lines_are_split_as_a_shell_does(void **state)
{
	static const struct { const char *args, *printed; } cases[] = {
		{ "", "" },
		{ " a  b\tc ", "<a><b><c>" },
		{ "'a b' \"c d\"", "<a b><c d>" },
		{ "a'b c'd", "<ab cd>" },
		{ "\"\" ''", "<><>" },
		{ "\"a\\\"b\\\\c\\d\"", "<a\"b\\c\\d>" },
		{ "a\\ b \\'c", "<a b><'c>" },
		{ "'a\\b'", "<a\\b>" },
		{ "$HOME `id` * ; | > x #", "<$HOME><`id`><*><;><|><>><x><#>" },
		{ "b\\", "<b\\>" },
	};
	const char *program = script("show",
	    "for a in \"$@\"; do printf '<%s>' \"$a\"; done");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_FREE char *line = xasprintf("%s %s", program, cases[i].args);

		prints(line, cases[i].printed);
	}
}

static void
a_list_is_taken_as_it_is(void **state)
{
	char *words[] = { script("show", "printf '<%s>' \"$@\""), (char[]){
		"a b" }, (char[]){ "'c'" } };
	const struct config_strings command = { .n = 3, .v = words };
	struct process *p;
	char *out;
	size_t len;

	(void)state;
	assert_int_equal(process_new(&command, &p, &why), 0);
	assert_int_equal(process_run(p, 30000, &out, &len, &why), 0);
	assert_string_equal(out, "<a b><'c'>");
	process_wipe(out);
	process_free(p);
}

static void
commands_that_cannot_be_run_are_refused(void **state)
{
	AUTO_FREE char *plain = xasprintf("%s/plain", dir);
	AUTO_FREE char *many = xcalloc(1, 200);
	struct process *p;

	(void)state;
	cloud_write(dir, "plain", "no program", 0600);
	(void)chmod(plain, 0600);
	assert_int_equal(open_line((char[]){ "" }, &p), -EINVAL);
	assert_int_equal(open_line((char[]){ "  " }, &p), -EINVAL);
	assert_int_equal(open_line((char[]){ "a 'b" }, &p), -EINVAL);
	SAYS(why, "a quote that is not closed");
	assert_int_equal(open_line((char[]){ "/nonexistent/x a" }, &p), -ENOENT);
	SAYS(why, "/nonexistent/x: No such file");
	assert_int_equal(open_line((char[]){ "causeway-no-such-program" }, &p),
	    -ENOENT);
	assert_int_equal(open_line(plain, &p), -EACCES);
	memset(many, 'a', 199);
	for (size_t i = 1; i < 199; i += 2)
		many[i] = ' ';
	assert_int_equal(open_line(many, &p), -E2BIG);
	/* Found in PATH. */
	prints((char[]){ "printf 'a b'" }, "a b");
}

/* ---- what it inherits ---------------------------------------------------- */

static void
it_inherits_nothing(void **state)
{
	int leaked = open("/etc/passwd", O_RDONLY), error;
	AUTO_FREE char *line = xasprintf("%s", script("inherit",
	    "ls /proc/self/fd | tr '\\n' ' '; env | cut -d= -f1 | sort | tr '\\n' ' ';"
	    "cat; echo secret >&2; test $(ps -o pgid= $$) = $$ && echo leader"));
	char *out;

	(void)state;
	assert_true(leaked >= 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", "/run/x", 1), 0);
	assert_int_equal(setenv("AWS_CA_BUNDLE", "/x", 1), 0);
	out = run_line(line, 30000, &error);
	assert_int_equal(error, 0);
	/* 3 is the directory that ls reads. */
	assert_non_null(strstr(out, "0 1 2 3 "));
	assert_null(strstr(out, "4"));
	assert_non_null(strstr(out, "AWS_CA_BUNDLE"));
	assert_non_null(strstr(out, "PATH"));
	assert_null(strstr(out, "NOTIFY_SOCKET"));
	assert_null(strstr(out, "TMPDIR"));
	assert_non_null(strstr(out, "leader"));
	assert_null(strstr(out, "secret"));
	process_wipe(out);
	(void)close(leaked);
	(void)unsetenv("AWS_CA_BUNDLE");
	(void)unsetenv("NOTIFY_SOCKET");
}

/* ---- how it ends --------------------------------------------------------- */

static bool
is_alive(const char *pid_file)
{
	AUTO_FREE char *text = NULL;
	size_t len;

	assert_int_equal(fdio_slurp(AT_FDCWD, issuer_path(dir, pid_file), 100, &text,
	    &len), 0);
	return kill((pid_t)atol(text), 0) == 0;
}

/* Who was killed is gone a moment later. */
static void
assert_ends(const char *pid_file)
{
	int64_t deadline = clock_mono_ms() + 20000;

	while (is_alive(pid_file)) {
		assert_true(clock_mono_ms() < deadline);
		(void)poll(NULL, 0, 10);
	}
}

static void
bad_ends_have_words(void **state)
{
	(void)state;
	assert_int_equal(fails(script("bad", "echo secret; exit 3"), 30000), -EIO);
	SAYS(why, "/bad: exit status 3: run it by hand");
	assert_null(strstr(why.data, "secret"));
	assert_int_equal(fails(script("bad", "kill -TERM $$"), 30000), -EIO);
	SAYS(why, "/bad: ended by signal 15");
	assert_int_equal(fails(script("bad", "yes"), 30000), -EFBIG);
	SAYS(why, "prints more than");
	cloud_write(dir, "bad", "#!/nonexistent/interpreter\n", 0700);
	assert_int_equal(fails(issuer_path(dir, "bad"), 30000), -ENOENT);
}

static void
it_is_killed_with_its_children_when_time_is_up(void **state)
{
	AUTO_FREE char *line = xasprintf("%s %s/child", script("slow",
	    "sleep 1000 & echo $! >$1; wait"), dir);
	int64_t began = clock_mono_ms();

	(void)state;
	assert_int_equal(fails(line, 500), -ETIMEDOUT);
	SAYS(why, "not done within 0 s");
	assert_true(clock_mono_ms() - began < 20000);
	assert_ends("child");
}

static void
closing_stdout_is_no_end(void **state)
{
	(void)state;
	assert_int_equal(fails(script("slow", "echo x; exec >&-; sleep 1000"), 500),
	    -ETIMEDOUT);
}

static void
those_left_behind_are_not_waited_for(void **state)
{
	AUTO_FREE char *line = xasprintf("%s %s/left", script("leaves",
	    "sleep 1000 & echo $! >$1; echo done"), dir);
	int64_t began = clock_mono_ms();

	(void)state;
	prints(line, "done\n");
	assert_true(clock_mono_ms() - began < 20000);
	assert_ends("left");
}

static void *
run_in_thread(void *arg)
{
	struct buf mine = BUF_INIT(500);
	char *out;
	size_t len;
	int r;

	r = process_run(arg, 600000, &out, &len, &mine);
	buf_free(&mine);
	return (void *)(intptr_t)r;
}

static void
it_can_be_ended_from_elsewhere(void **state)
{
	AUTO_FREE char *line = xasprintf("%s %s/started", script("waits",
	    "echo $$ >$1.new; mv $1.new $1; sleep 1000"), dir);
	int64_t began = clock_mono_ms();
	struct process *p;
	pthread_t t;
	void *got;

	(void)state;
	assert_int_equal(open_line(line, &p), 0);
	assert_int_equal(pthread_create(&t, NULL, run_in_thread, p), 0);
	while (access(issuer_path(dir, "started"), F_OK) < 0) {
		assert_true(clock_mono_ms() - began < 20000);
		(void)poll(NULL, 0, 10);
	}
	process_cancel(p);
	(void)pthread_join(t, &got);
	assert_int_equal((intptr_t)got, -ECANCELED);
	assert_int_equal((intptr_t)run_in_thread(p), -ECANCELED);
	process_free(p);
}

/* ---- keys ---------------------------------------------------------------- */

#define KEYS "\"Version\": 1, \"AccessKeyId\": \"AKIA1\", " \
	     "\"SecretAccessKey\": \"very/secret\""

static void
what_it_prints_is_judged(void **state)
{
	static const struct { const char *text, *says; } bad[] = {
		{ "", "no JSON object" },
		{ "[1]", "no JSON object" },
		{ "{" KEYS "} x", "no JSON object" },
		{ "{}", "no \"Version\": 1" },
		{ "{\"Version\": 2}", "no \"Version\": 1" },
		{ "{\"Version\": \"1\"}", "no \"Version\": 1" },
		{ "{\"Version\": 1}", "lacks AccessKeyId or SecretAccessKey" },
		{ "{\"Version\": 1, \"AccessKeyId\": \"A\"}", "lacks" },
		{ "{" KEYS ", \"AccessKeyId\": \"a\\nb\"}", "lacks" },
		{ "{" KEYS ", \"SessionToken\": 7}", "SessionToken" },
		{ "{" KEYS ", \"SessionToken\": \"very secret\"}", "SessionToken" },
		{ "{" KEYS ", \"Expiration\": \"tomorrow\"}", "Expiration" },
		{ "{" KEYS ", \"Expiration\": 1700000000}", "Expiration" },
	};
	struct aws_keys k = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		buf_clear(&why);
		assert_int_equal(aws_process_parse("prog", bad[i].text,
		    strlen(bad[i].text), &k, &why), -EPROTO);
		SAYS(why, bad[i].says);
		assert_null(strstr(why.data, "secret"));
	}
	assert_int_equal(aws_process_parse("prog", "{" KEYS "}",
	    strlen("{" KEYS "}"), &k, &why), 0);
	assert_string_equal(k.id, "AKIA1");
	assert_string_equal(k.secret, "very/secret");
	assert_null(k.token);
	assert_true(k.expires_ms == INT64_MAX);
	aws_keys_free(&k);
	const char *text = "{" KEYS ", \"SessionToken\": \"t\", \"AccountId\": \"1\", "
	    "\"Expiration\": \"2024-02-29T12:00:00.5+01:00\"}";
	assert_int_equal(aws_process_parse("prog", text, strlen(text), &k, &why), 0);
	assert_string_equal(k.token, "t");
	assert_true(k.expires_ms == INT64_C(1709204400000));
	aws_keys_free(&k);
}

static void
times_are_of_iso_8601(void **state)
{
	static const char *const same[] = { "2024-02-29T12:00:00Z",
		"2024-02-29T12:00:00z", "2024-02-29T12:00:00.123456Z",
		"2024-02-29T13:30:00+01:30", "2024-02-29T07:00:00-0500" };
	static const char *const bad[] = { "", "2024-02-29", "2024-02-29T12:00:00",
		"2024-02-29T12:00:00+99:00", "2024-02-29T12:00:00Zx",
		"2024-02-29T12:00:00+01:00x", "x2024-02-29T12:00:00Z" };
	int64_t t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		assert_int_equal(aws_time_parse(same[i], &t), 0);
		assert_true(t == INT64_C(1709208000000));
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(aws_time_parse(bad[i], &t), -EINVAL);
}

static void
it_is_run_once_for_all_requests_until_the_keys_expire(void **state)
{
	AUTO_FREE char *line = xasprintf("%s %s/runs", script("keys",
	    "echo x >>$1; n=$(grep -c x $1); "
	    "printf '{\"Version\": 1, \"AccessKeyId\": \"AKIA%d\", "
	    "\"SecretAccessKey\": \"s\"}' $n"), dir);
	struct process_options o = { .command = { .n = 1, .v = &line } };
	struct http_credential *c;
	struct buf said = BUF_INIT(300);

	(void)state;
	assert_int_equal(issuer_open(&http_credential_aws_process, &o, &c, &why), 0);
	assert_non_null(strstr(issuer_apply(c, &why), "Credential=AKIA1/"));
	assert_non_null(strstr(issuer_apply(c, &why), "Credential=AKIA1/"));
	assert_false(issuer_refresh(c, 500, ""));
	assert_true(issuer_refresh(c, 400,
	    "{\"__type\": \"ExpiredTokenException\"}"));
	assert_non_null(strstr(issuer_apply(c, &why), "Credential=AKIA2/"));
	assert_false(issuer_refresh(c, 403,
	    "{\"__type\": \"AccessDeniedException\"}"));
	credential_describe(c, &said);
	SAYS(said, "the keys that command ");
	SAYS(said, "/keys printed");
	buf_free(&said);
	http_credential_close(c);
}

static void
keys_that_are_over_are_not_used(void **state)
{
	char *line = script("old", "echo '{" KEYS ", \"Expiration\": "
	    "\"2024-02-29T12:00:00Z\"}'");
	struct process_options o = { .command = { .n = 1, .v = &line } };
	const struct http_request req = { .method = "GET", .path = "/" };
	struct http_credential *c;
	struct http_headers h;

	(void)state;
	assert_int_equal(issuer_open(&http_credential_aws_process, &o, &c, &why), 0);
	assert_string_equal(issuer_apply(c, &why), "");
	SAYS(why, "/old: the keys that it gives expired on 2024-02-29");
	http_credential_close(c);
	/* By the clock of the service that they are for. */
	assert_int_equal(issuer_open(&http_credential_aws_process, &o, &c, &why), 0);
	assert_int_equal(issuer_apply_at(c, &req, INT64_C(1709200000000), &h, &why),
	    0);
	http_headers_free(&h);
	http_credential_close(c);
}

/* A service that said a wrong date once would else be believed for ever. */
static void
a_wrong_clock_of_theirs_keeps_no_keys_back(void **state)
{
	char *line = script("new", "echo '{" KEYS ", \"Expiration\": "
	    "\"2080-02-29T12:00:00Z\"}'");
	struct process_options o = { .command = { .n = 1, .v = &line } };
	const struct http_request req = { .method = "GET", .path = "/" };
	struct http_credential *c;
	struct http_headers h;

	(void)state;
	assert_int_equal(issuer_open(&http_credential_aws_process, &o, &c, &why), 0);
	assert_int_equal(issuer_apply_at(c, &req, INT64_C(4000000000000), &h, &why),
	    0);
	http_headers_free(&h);
	assert_string_not_equal(issuer_apply(c, &why), "");
	http_credential_close(c);
}

static void *
apply_in_thread(void *arg)
{
	struct buf mine = BUF_INIT(500);
	const char *value = issuer_apply(arg, &mine);

	buf_free(&mine);
	return (void *)(intptr_t)(value[0] != '\0');
}

static void
stopping_does_not_wait_for_it(void **state)
{
	AUTO_FREE char *line = xasprintf("%s %s/begun", script("waits",
	    "echo $$ >$1.new; mv $1.new $1; sleep 1000"), dir);
	struct process_options o = { .command = { .n = 1, .v = &line } };
	int64_t began = clock_mono_ms();
	struct http_credential *c;
	pthread_t t;
	void *got;

	(void)state;
	assert_int_equal(issuer_open(&http_credential_aws_process, &o, &c, &why), 0);
	assert_int_equal(pthread_create(&t, NULL, apply_in_thread, c), 0);
	while (access(issuer_path(dir, "begun"), F_OK) < 0) {
		assert_true(clock_mono_ms() - began < 20000);
		(void)poll(NULL, 0, 10);
	}
	http_credential_cancel(c);
	(void)pthread_join(t, &got);
	assert_int_equal((intptr_t)got, 0);
	http_credential_close(c);
	assert_ends("begun");
}

static int
set_up(void **state)
{
	(void)state;
	cloud_make_dir(dir, sizeof(dir), "process");
	return http_global_init();
}

static int
tear_down(void **state)
{
	(void)state;
	cloud_remove_dir(dir);
	buf_free(&why);
	http_global_cleanup();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_split_as_a_shell_does),
		cmocka_unit_test(a_list_is_taken_as_it_is),
		cmocka_unit_test(commands_that_cannot_be_run_are_refused),
		cmocka_unit_test(it_inherits_nothing),
		cmocka_unit_test(bad_ends_have_words),
		cmocka_unit_test(it_is_killed_with_its_children_when_time_is_up),
		cmocka_unit_test(closing_stdout_is_no_end),
		cmocka_unit_test(those_left_behind_are_not_waited_for),
		cmocka_unit_test(it_can_be_ended_from_elsewhere),
		cmocka_unit_test(what_it_prints_is_judged),
		cmocka_unit_test(times_are_of_iso_8601),
		cmocka_unit_test(it_is_run_once_for_all_requests_until_the_keys_expire),
		cmocka_unit_test(keys_that_are_over_are_not_used),
		cmocka_unit_test(a_wrong_clock_of_theirs_keeps_no_keys_back),
		cmocka_unit_test(stopping_does_not_wait_for_it),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
