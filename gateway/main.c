/* main.c - causewayd: options, and what the process as a whole is given.
 *
 * Exit status: 0 after a stop, 2 for a bad configuration or command line, 1 for
 * anything else.
 */
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "gateway/gateway_int.h"
#include "gateway/http/http.h"

#define CONFIG_PATH  "/etc/causeway/causeway.yaml"
#define PROBLEMS_MAX (256 * 1024)
#define PRINT_MAX    (4 * 1024 * 1024)

struct options {
	const char *config_path;
	bool check, verbose;
};

static void
print_usage(FILE *out)
{
	(void)fprintf(out,
	    "usage: causewayd [-c FILE] [-t [-v]] [-V] [-h]\n"
	    "  -c FILE  the configuration (%s)\n"
	    "  -t       check it: exit status 0 good, 2 bad\n"
	    "  -v       with -t: print what is in effect, defaults included\n"
	    "  -V       print the version\n"
	    "  -h       print this\n", CONFIG_PATH);
}

/* -1: go on; otherwise the exit status. */
static int
parse_options(int argc, char **argv, struct options *ret)
{
	int opt;

	while ((opt = getopt(argc, argv, "c:tvVh")) != -1) {
		switch (opt) {
		case 'c':
			ret->config_path = optarg;
			break;
		case 't':
			ret->check = true;
			break;
		case 'v':
			ret->verbose = true;
			break;
		case 'V':
			(void)printf("causewayd %s\n", CAUSEWAY_VERSION);
			return 0;
		case 'h':
			print_usage(stdout);
			return 0;
		default:
			print_usage(stderr);
			return GATEWAY_BAD_CONFIG;
		}
	}
	if (optind < argc || (ret->verbose && !ret->check)) {
		print_usage(stderr);
		return GATEWAY_BAD_CONFIG;
	}
	return -1;
}

/* Memory is a promise: threads share few arenas, and what large objects needed
 * goes back to the system. No core files, for they would hold patients' images
 * and passwords; PR_SET_DUMPABLE would also hide /proc/PID from our own user, who
 * measures with it. */
static void
prepare_process(void)
{
	const struct rlimit no_core = { 0, 0 };
	struct rlimit files;

	(void)mallopt(M_ARENA_MAX, 2);
	(void)mallopt(M_MMAP_THRESHOLD, 1024 * 1024);
	(void)mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
	(void)umask(0077);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)setrlimit(RLIMIT_CORE, &no_core);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
}

/* Before there are threads, for setenv() is for one thread alone. */
static void
set_timezone(const struct config *cfg)
{
	if (cfg->gateway->timezone != NULL)
		(void)setenv("TZ", cfg->gateway->timezone, 1);
	tzset();
}

static int
print_config(const struct config *cfg)
{
	struct buf text = BUF_INIT(PRINT_MAX);
	int r;

	r = config_print(cfg, &text);
	if (r == 0 && text.len > 0 &&
	    fwrite(text.data, 1, text.len, stdout) != text.len)
		r = -EIO;
	buf_free(&text);
	if (r == 0 && fflush(stdout) != 0)
		r = -errno;
	if (r < 0)
		(void)fprintf(stderr, "causewayd: %s\n", strerror(-r));
	return r < 0 ? GATEWAY_FAILED : 0;
}

static int
check(const struct options *opt, const struct config *cfg)
{
	struct buf problems = BUF_INIT(PROBLEMS_MAX);
	int status = gateway_try_destinations(opt->config_path, cfg, &problems);

	if (problems.len > 0)
		(void)fputs(problems.data, stderr);
	buf_free(&problems);
	if (status == 0 && opt->verbose)
		status = print_config(cfg);
	config_unref(cfg);
	return status;
}

static int
run(const struct options *opt, const struct config *cfg)
{
	int status;

	set_timezone(cfg);
	if (http_global_init() < 0) {
		(void)fprintf(stderr, "causewayd: libcurl cannot start\n");
		config_unref(cfg);
		return GATEWAY_FAILED;
	}
	status = opt->check ? check(opt, cfg) : gateway_run(opt->config_path, cfg);
	http_global_cleanup();
	return status;
}

int
main(int argc, char **argv)
{
	struct options opt = { .config_path = CONFIG_PATH };
	struct buf problems = BUF_INIT(PROBLEMS_MAX);
	const struct config *cfg = NULL;
	int status;

	status = parse_options(argc, argv, &opt);
	if (status >= 0)
		return status;
	prepare_process();
	gateway_register_kinds();
	status = gateway_load(opt.config_path, &cfg, &problems);
	if (problems.len > 0)
		(void)fputs(problems.data, stderr);
	buf_free(&problems);
	return status == 0 ? run(&opt, cfg) : status;
}
