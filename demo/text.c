/* text.c - the text: finding files, reading them, cutting them into pieces, and taking them apart into words.
 *
 * It does not split words as a linguist would: a word is a run of letters, of any case, and of bytes above 127; what is longer than
 * WORD_MOST bytes is cut. A file with a zero byte in it is no text. Files are taken in the order of their names, so that a second
 * run on the same machine counts the same.
 *
 * The words are for all processes; the rest is for the parent alone, before there are workers. From then on the text is read only.
 *
 * SPDX-License-Identifier: MIT */
#include "demo.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE_SIZE = 8 << 10 };             /* bytes, and up to the end of a word */
#define TEXT_FOUND_MOST ((size_t)8 << 20)  /* bytes taken of what is found on the machine */
#define TEXT_GIVEN_MOST ((size_t)64 << 20) /* bytes taken of what --text names */

/* ---- words ---------------------------------------------------------------------------------------------------------- */

static bool is_letter(char c)
{
    unsigned char u = (unsigned char)c;
    return u >= 0x80 || (unsigned char)((u | 0x20) - 'a') < 26;
}

bool next_word(const char *text, uint64_t end, uint64_t *ret_at, struct word *ret_word)
{
    uint64_t at = *ret_at;
    size_t size = 0;
    while (at < end && !is_letter(text[at]))
        at++;
    for (; at < end && size < WORD_MOST && is_letter(text[at]); at++)
        ret_word->text[size++] = (char)((unsigned char)text[at] < 0x80 ? text[at] | 0x20 : text[at]);
    ret_word->size = (uint8_t)size;
    *ret_at = at;
    return size > 0;
}

int compare_words(const void *a, const void *b)
{
    const struct word *v = a, *w = b;
    int order = memcmp(v->text, w->text, v->size < w->size ? v->size : w->size);
    return order ? order : (int)v->size - (int)w->size;
}

/* ---- files ---------------------------------------------------------------------------------------------------------- */

struct pile { /* of files' bytes, one after the other */
    char *bytes;
    size_t size, most;
    uint64_t files;
    bool choosy; /* only files whose names are those of text and sources */
    bool full;
};

static bool has_text_name(const char *name)
{
    static const char *const endings[] = {".txt", ".md", ".rst", ".pod", ".py", ".pl",
                                          ".pm",  ".h",  ".hh",  ".hpp", ".c",  ".html"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (strcmp(dot, endings[i]) == 0)
            return true;
    return !dot && strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") >= 3; /* README, COPYING, GPL-3 */
}

/* Take a file's bytes, as many as there is room for, unless they are no text. */
static void take_file(struct pile *p, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t from = p->size;
    ssize_t got;
    if (fd < 0)
        return;
    while (p->size < p->most &&
           ((got = read(fd, p->bytes + p->size, p->most - p->size)) > 0 || (got < 0 && errno == EINTR)))
        p->size += got > 0 ? (size_t)got : 0;
    close(fd);
    if (p->size == from || memchr(p->bytes + from, 0, p->size - from)) {
        p->size = from;
        return;
    }
    p->full = p->size >= p->most;
    p->bytes[p->size < p->most ? p->size++ : p->size - 1] = '\n'; /* words do not go on in the next file */
    p->files++;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* Take all files below a path, in the order of their names. 0, or -errno if the path itself cannot be read. */
static int take_path(struct pile *p, const char *path)
{
    char *roots[] = {(char *)path, NULL};
    FTS *walk = fts_open(roots, FTS_COMFOLLOW | FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    FTSENT *entry;
    int result = 0;
    if (!walk)
        return -errno;
    while (!p->full && (entry = fts_read(walk)) != NULL) {
        leave_if_caught();
        if (entry->fts_level == 0 &&
            (entry->fts_info == FTS_NS || entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR))
            result = -entry->fts_errno;
        else if (entry->fts_level == 0 && entry->fts_info == FTS_F && access(path, R_OK) < 0)
            result = -errno;
        else if (entry->fts_info == FTS_F && (!p->choosy || has_text_name(entry->fts_name)))
            take_file(p, entry->fts_accpath);
    }
    fts_close(walk);
    return result;
}

static void take_given_text(struct pile *p, char **paths, size_t count)
{
    p->most = TEXT_GIVEN_MOST;
    for (size_t i = 0; i < count && !p->full; i++) {
        int result = take_path(p, paths[i]);
        if (result < 0)
            give_up("cannot read %s: %s", paths[i], strerror(-result));
    }
    if (p->full)
        fprintf(stderr, "wordcount: only the first %zu MiB of the text are taken\n", p->most >> 20);
}

static void take_found_text(struct pile *p)
{
    static const char *const places[] = {"/usr/share/common-licenses",
                                         "/usr/share/perl",
                                         "/usr/lib/gcc",
                                         "/usr/lib/python3",
                                         "/usr/lib/python3.11",
                                         "/usr/include",
                                         "/usr/local/lib",
                                         "/usr/share/doc",
                                         "/usr/share"};
    size_t n = sizeof places / sizeof *places;
    p->choosy = true;
    /* each place gets an equal share of the room that is left, so that there is some of each */
    for (size_t i = 0; i < n; i++) {
        p->most = p->size + (TEXT_FOUND_MOST - p->size) / (n - i);
        p->full = false;
        take_path(p, places[i]);
    }
}

/* Cut the pile into pieces that end with something that is no letter. Counts them; with `start`, notes them too. */
static uint64_t cut(const struct pile *p, uint64_t *start)
{
    uint64_t n = 0;
    for (size_t at = 0; at < p->size; n++) {
        if (start)
            start[n] = at;
        at = p->size - at > PIECE_SIZE ? at + PIECE_SIZE : p->size;
        while (at < p->size && is_letter(p->bytes[at - 1]))
            at++;
    }
    if (start)
        start[n] = p->size;
    return n;
}

const struct text *read_text(char **paths, size_t count, int *ret_fd)
{
    struct pile p = {0};
    struct word any;
    uint64_t at = 0;
    p.bytes = malloc(count ? TEXT_GIVEN_MOST : TEXT_FOUND_MOST);
    if (!p.bytes)
        give_up("no memory for the text");
    if (count)
        take_given_text(&p, paths, count);
    else
        take_found_text(&p);
    if (!next_word(p.bytes, p.size, &at, &any))
        give_up(count ? "there is no word in what --text names (files with zero bytes are not taken for text)"
                      : "found no text on this machine; give some: --text FILE-OR-DIRECTORY...");
    uint64_t pieces = cut(&p, NULL), table = sizeof(struct text) + (pieces + 1) * sizeof(uint64_t);
    struct text *text = make_shared("text", table + p.size, ret_fd);
    *text = (struct text){.bytes = p.size, .pieces = pieces, .files = p.files, .bytes_at = table};
    cut(&p, text->start);
    memcpy((char *)text + table, p.bytes, p.size);
    free(p.bytes);
    return text;
}
