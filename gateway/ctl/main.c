/* main.c - causewayctl: the gateway's JSON API, printed for people. */
#include "gateway/ctl/ctl_int.h"

int
main(int argc, char **argv)
{
	return ctl_run(argc, argv, stdout, stderr);
}
