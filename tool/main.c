/* main.c - the tarn command: its table of commands, help and version. tarn(1) is its manual. */
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "tool.h"

static const struct command *const commands[] = {
    &cmd_ls,     &cmd_who,  &cmd_locks, &cmd_metrics, &cmd_show,   &cmd_why,     &cmd_translate,
    &cmd_doctor, &cmd_gc,   &cmd_top,   &cmd_perms,   &cmd_dump,   &cmd_load,    &cmd_cp,
    &cmd_create, &cmd_info, &cmd_heap,  &cmd_map,     &cmd_check,  &cmd_recover, &cmd_rm,
    &cmd_pub,    &cmd_sub,  &cmd_call,  &cmd_hz,      &cmd_record, &cmd_replay,  &cmd_torture};
#define COMMANDS (sizeof commands / sizeof *commands)

static void help(FILE *to)
{
    fputs("usage: tarn COMMAND [OPTION...] URL\n\n", to);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(to, "  %-9s %s\n", commands[i]->name, commands[i]->summary);
    fputs(
        "\n"
        "A URL is posix:/name, sysv:KEY or file:path; or, but for create and rm, /proc/PID/fd/N or fd:N: the "
        "descriptor of a memfd: or anon:\n"
        "segment, which has no name.\n\n"
        "tarn COMMAND --help tells a command's options; tarn --version the version.\n"
        "Exit status: 0 done, nothing wrong; 1 damaged, not there, there already, or no segment; 2 wrong "
        "arguments;\n"
        "3 no permission, or the system refused.\n",
        to);
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        help(stderr);
        return USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        help(stdout);
        return DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("tarn " TARN_VERSION);
        return DONE;
    }
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(argv[1], commands[i]->name) == 0)
            return commands[i]->run(commands[i], argc - 1, argv + 1);
    complain(NULL, "\"%s\" is no command; see tarn --help", argv[1]);
    return USAGE;
}

/* Where stdin, stdout or stderr is closed, a segment's descriptor would have its number, and get what is printed. What stands in for it answers as a closed one. */
static bool stand_in(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_RDONLY : O_WRONLY) != fd)
            return false;
    return true;
}

int main(int argc, char **argv)
{
    if (!stand_in())
        return REFUSED;
    setlocale(LC_CTYPE, ""); /* tables are as wide as their characters */
    int status = run(argc, argv);
    return finish_output() ? status : REFUSED;
}
