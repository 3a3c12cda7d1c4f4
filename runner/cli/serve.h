#ifndef RUNNER_CLI_SERVE_H
#define RUNNER_CLI_SERVE_H

int cli_serve(int argc, char **argv);
#endif
