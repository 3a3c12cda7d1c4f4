#include "artifacts/commands.h"

#include "artifacts/capture.h"

#include <getopt.h>
#include <stdio.h>

static int fail(const char *verb, const struct error *err)
{
	fprintf(stderr, "penstock %s: %s\n", verb, error_message(err));
	return error_exit_status(err);
}

static int usage(const char *verb, const char *text)
{
	fprintf(stderr, "usage: penstock %s %s\n", verb, text);
	return 2;
}

/* Prints the result line; a full disk behind standard output is a failure too, which the command line tells. */
static int print_line(const char *text)
{
	return printf("%s\n", text) < 0 || fflush(stdout) != 0 ? 5 : 0;
}

int capture_command(int argc, char **argv)
{
	static const struct option options[] = {{"workspace", required_argument, NULL, 'w'}, {"layout", required_argument, NULL, 'l'}, {0}};
	static const char text[] = "--workspace DIR --layout DIR -- OUTPUT...";
	const char *workspace = NULL, *layout = NULL;
	optind = 0;
	for (int option; (option = getopt_long(argc, argv, "+", options, NULL)) != -1;) {
		if (option == 'w')
			workspace = optarg;
		else if (option == 'l')
			layout = optarg;
		else
			return usage("capture", text);
	}
	if (!workspace || !layout)
		return usage("capture", text);
	cleanup_error struct error *err = NULL;
	char manifest[DIGEST_SIZE];
	if (capture_outputs(workspace, (const char *const *)argv + optind, (size_t)(argc - optind), layout, manifest, &err) < 0) {
		int status = fail("capture", err);
		return status == 5 ? 5 : 1; /* The stage broke its word; the command line is not to blame. */
	}
	return print_line(manifest);
}

int unpack_command(int argc, char **argv)
{
	static const struct option options[] = {{"layout", required_argument, NULL, 'l'},
						{"image", required_argument, NULL, 'i'},
						{"rootfs", required_argument, NULL, 'r'},
						{0}};
	static const char text[] = "--layout DIR --image DIGEST --rootfs DIR";
	const char *layout = NULL, *image = NULL, *rootfs = NULL;
	optind = 0;
	for (int option; (option = getopt_long(argc, argv, "+", options, NULL)) != -1;) {
		if (option == 'l')
			layout = optarg;
		else if (option == 'i')
			image = optarg;
		else if (option == 'r')
			rootfs = optarg;
		else
			return usage("unpack", text);
	}
	if (!layout || !image || !rootfs || optind < argc)
		return usage("unpack", text);
	cleanup_error struct error *err = NULL;
	if (image_unpack(layout, image, rootfs, &err) < 0)
		return fail("unpack", err);
	return 0;
}
