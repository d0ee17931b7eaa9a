/* test_base_notify.c - the service manager hears us, if there is one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/notify.h"

/* A manager's socket in the abstract name space, as NOTIFY_SOCKET. */
static int
listen_as_manager(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	socklen_t len;
	char name[64];
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)snprintf(name, sizeof(name), "@causeway-test-%d", (int)getpid());
	memcpy(sun.sun_path + 1, name + 1, strlen(name) - 1);
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, len), 0);
	(void)setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static void
test_one_datagram_each(void **state)
{
	AUTO_CLOSE int fd = listen_as_manager();
	char text[100] = "";

	(void)state;
	errno = ENOENT;
	notify_send("READY=1\nSTATUS=%d associations", 3);
	assert_int_equal(errno, ENOENT);
	assert_true(recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT) > 0);
	assert_string_equal(text, "READY=1\nSTATUS=3 associations");
}

static void
test_nobody_there_is_no_error(void **state)
{
	static const char *const paths[] = {
		"", "/", "@", "relative", "vsock:2:1234", "/nonexistent/notify",
	};

	(void)state;
	errno = 0;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		(void)setenv("NOTIFY_SOCKET", paths[i], 1);
		notify_send("READY=1");
	}
	(void)unsetenv("NOTIFY_SOCKET");
	notify_send("READY=1");
	assert_int_equal(errno, 0);
}

static int64_t
watchdog(const char *usec, const char *pid)
{
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("WATCHDOG_PID");
	if (usec != NULL)
		(void)setenv("WATCHDOG_USEC", usec, 1);
	if (pid != NULL)
		(void)setenv("WATCHDOG_PID", pid, 1);
	return notify_watchdog_ms();
}

static void
test_watchdog_is_half_and_ours(void **state)
{
	char self[32];

	(void)state;
	(void)snprintf(self, sizeof(self), "%d", (int)getpid());
	assert_int_equal(watchdog("30000000", self), 15000);
	assert_int_equal(watchdog("30000000", NULL), 15000);
	assert_int_equal(watchdog("30000000", "1"), 0);
	assert_int_equal(watchdog(NULL, self), 0);
	assert_int_equal(watchdog("0", self), 0);
	assert_int_equal(watchdog("-5", self), 0);
	assert_int_equal(watchdog("30s", self), 0);
	assert_int_equal(watchdog("99999999999999999999999", self), 0);
	assert_int_equal(watchdog("100", self), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_datagram_each),
		cmocka_unit_test(test_nobody_there_is_no_error),
		cmocka_unit_test(test_watchdog_is_half_and_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
