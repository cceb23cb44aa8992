/* tool.h - what the files of the tarn command share: the commands' table, arguments, and formatting.
 *
 * A command is one file, cmd_NAME.c: its usage line, its help and its function. All that reaches stdout goes through output.c;
 * complaints go to stderr through complain. The command uses <tarn.h> and nothing else of the project. */
#ifndef TARN_TOOL_H
#define TARN_TOOL_H

#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include <tarn.h>

/* Exit statuses: documented in tarn(1), tested in test/tool. */
enum status {
    DONE = 0,   /* it is so, or it was done */
    WRONG = 1,  /* damaged, not there, there already, or no segment */
    USAGE = 2,  /* wrong arguments */
    REFUSED = 3 /* no permission, no room, or the system refused otherwise */
};

struct command {
    const char *name, *arguments; /* "create", "[OPTION...] URL" */
    const char *summary;          /* a line for tarn --help */
    const char *help;             /* the options, for tarn COMMAND --help */
    const struct column *columns; /* of a list (listing.h), which the help tells, or NULL */
    size_t columns_count;
    int (*run)(const struct command *self, int argc, char **argv); /* argv[0] is the command's name */
};
extern const struct command cmd_create, cmd_info, cmd_heap, cmd_check, cmd_rm, cmd_pub, cmd_sub, cmd_call,
    cmd_hz, cmd_record, cmd_replay, cmd_ls, cmd_who, cmd_locks, cmd_metrics, cmd_why, cmd_doctor, cmd_gc,
    cmd_recover, cmd_perms, cmd_dump, cmd_load, cmd_cp, cmd_top, cmd_map, cmd_translate, cmd_show, cmd_torture;

/* ---- arguments.c ---- */

/* "tarn COMMAND: sentence" to stderr, whole lines. */
void complain(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same with a hint of --help behind it; USAGE. */
int misused(const struct command *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A call of the library failed: say its sentence; the status that the error means. */
int failed(const struct command *c, int error);
int status_of(int error);

/* The next option: its value, -1 at the end, or ENDED, and then *ret_status is the status to end with (after --help, or a wrong one). */
enum { ENDED = 0x1000 };
int next_option(const struct command *c, int argc, char **argv, const char *letters,
                const struct option *names, int *ret_status);
/* The only argument that is not an option, or NULL, after a complaint. */
const char *only_url(const struct command *c, int argc, char **argv);

/* Seconds, with m, h or d behind the number for more. */
bool parse_period(const char *text, int64_t *ret);
bool parse_number(const char *text, int base, uint64_t most, uint64_t *ret);

/* The value of an option into *ret; DONE, or USAGE after a complaint that names the option, the value, and what it may be. A count is of `what`, from 1 on; most
 * UINT64_MAX: as many as you like. A size may have K, M, G or T behind it, for powers of 1024. *ret is untouched by a wrong one. */
int take_count(const struct command *c, const char *option, const char *value, const char *what,
               uint64_t most, uint64_t *ret);
int take_ms(const struct command *c, const char *option, const char *value, uint64_t least, uint64_t most,
            uint64_t *ret);
int take_size(const struct command *c, const char *option, const char *value, uint64_t least, uint64_t most,
              uint64_t *ret);
#define HOUR_MS 3600000u
#define DAY_MS 86400000u

/* Attach what a URL, a path /proc/PID/fd/N, or fd:N names, to look at it; attach_as: with other flags of tarn_open. false, after a complaint: *ret_status is what to end with. */
bool attach(const struct command *c, const char *url, tarn **ret_seg, int *ret_status);
bool attach_as(const struct command *c, const char *url, unsigned flags, tarn **ret_seg, int *ret_status);
/* Is it a path or fd:N, which no URL of the library is? */
bool is_descriptor(const char *url);

/* machine_look (machine.h), and a complaint if there is none: then REFUSED. */
struct machine *look_at_machine(const struct command *c, unsigned what);
/* A line on stderr of what the caller had no right to see, if anything. */
void complain_of_unread(const struct command *c, const struct machine *m);

/* A question on stderr, with " [y/N] " behind it, and the answer. */
bool agreed(const char *question);

/* A growing array, `array` the address of its pointer: one element more, zeroed. NULL: no memory, and it is as it was. */
void *one_more(void *array, size_t *count, size_t size);

/* ---- output.c ---- */

struct info {
    const char *url;
    struct tarn_stat stat;
    int current; /* 0, or -ESTALE */
    struct tarn_name *names;
    struct tarn_participant *participants;
    size_t names_count, participants_count;
};

/* Bytes for people: the number before the unit, one of BKMGTPE. */
double in_units(uint64_t bytes, char *ret_unit);
void print_help(const struct command *c);
void print_info(const struct info *i);
void print_info_json(const struct info *i);
void print_heap(const char *url, const struct tarn_heap_stats *t, bool all);
void print_heap_json(const char *url, const struct tarn_heap_stats *t);
void print_damage(const struct tarn_damage *d);
/* The list of damages as JSON, piece by piece. */
void json_damages_begin(const char *url);
void json_damage(const struct tarn_damage *d);
void json_damages_end(uint64_t count);
/* Are these bytes text that JSON can say exactly? And then: "key": "text". */
bool json_is_text(const char *bytes, size_t size);
void json_message(const char *key, const char *bytes, size_t size);
void print_json_string(const char *string);
/* A copy in which whatever could do more than be seen on a terminal (control characters, what is not UTF-8, marks that turn the direction of writing) is \x.. for
 * each byte, and so is a \ before an x. NULL: no memory. */
char *harmless(const char *text);
/* All of stdout is written: true, or a complaint. */
bool finish_output(void);

#endif
