/* main.c - the program: its words to the command line, its end to the shell.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

int main(int argc, char **argv)
{
  return da_cli_main(argc, argv);
}
