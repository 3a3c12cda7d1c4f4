/* Native stages as commands: `penstock validate|score|gate|build ...`. Each parses its own argv (argv[0] is the verb), prints its
 * result to standard output and messages to standard error, and returns the exit status of PIPELINE.md. */
#ifndef STAGES_COMMAND_H
#define STAGES_COMMAND_H

int validate_command(int argc, char **argv);
int score_command(int argc, char **argv);
int gate_command(int argc, char **argv);
int build_command(int argc, char **argv);
#endif
