/* Children of the daemon that work on artifacts. argv[0] is the verb. Messages go to standard error; the exit status is that of
 * PIPELINE.md. */
#ifndef ARTIFACTS_COMMANDS_H
#define ARTIFACTS_COMMANDS_H

/* capture --workspace DIR --layout DIR -- OUTPUT...: prints the manifest's digest. Exit 1 when a declared output is missing or
 * holds what cannot be stored, 5 when reading or writing failed. */
int capture_command(int argc, char **argv);
/* unpack --layout DIR --image DIGEST --rootfs DIR */
int unpack_command(int argc, char **argv);
#endif
