/* recording.c - see recording.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "recording.h"

struct recording {
    const struct command *command;
    const char *path;
    FILE *file;
    bool write, ended;
    bool failed; /* to be written */
    bool begun;  /* it is a recording: its first bytes were read */
    ZSTD_CCtx *compress;
    ZSTD_DCtx *expand;
    ZSTD_inBuffer in;
    bool whole; /* a frame has ended, and no other has begun */
    uint64_t done, all;
    char input[1 << 17], output[1 << 17];
};

static bool broken(const struct recording *r, const char *what)
{
    complain(r->command->name, "%s: %s", r->path, what);
    return false;
}

/* ---- writing ---- */

static bool not_written(struct recording *r, const char *what)
{
    complain(r->command->name, "%s: %s; what is in it already is good", r->path, what);
    r->failed = true;
    return false;
}

static bool put(struct recording *r, const void *bytes, size_t size, ZSTD_EndDirective end)
{
    ZSTD_inBuffer in = {bytes, size, 0};
    size_t left;
    if (r->failed)
        return false;
    do {
        ZSTD_outBuffer out = {r->output, sizeof r->output, 0};
        left = ZSTD_compressStream2(r->compress, &out, &in, end);
        if (ZSTD_isError(left))
            return not_written(r, ZSTD_getErrorName(left));
        if (fwrite(r->output, 1, out.pos, r->file) < out.pos)
            return not_written(r, strerror(errno));
    } while (in.pos < in.size || (end != ZSTD_e_continue && left));
    if (end != ZSTD_e_continue && fflush(r->file))
        return not_written(r, strerror(errno));
    return true;
}

static void number(unsigned char *at, uint64_t n, int bytes)
{
    for (int i = 0; i < bytes; i++)
        at[i] = (unsigned char)(n >> 8 * i);
}
static uint64_t number_of(const unsigned char *at, int bytes)
{
    uint64_t n = 0;
    for (int i = 0; i < bytes; i++)
        n |= (uint64_t)at[i] << 8 * i;
    return n;
}

bool recording_write(struct recording *r, const struct recorded *head, const char *bytes)
{
    unsigned char h[20];
    number(h, head->gap, 8);
    number(h + 8, head->sequence, 8);
    number(h + 16, head->size, 4);
    return put(r, h, sizeof h, ZSTD_e_continue) && put(r, bytes, head->size, ZSTD_e_continue);
}

bool recording_flush(struct recording *r)
{
    return put(r, NULL, 0, ZSTD_e_flush);
}

/* ---- reading ---- */

enum { SAID = -2, CUT = -1, END, GOT };

/* GOT; END: the end of the file before the first of them; CUT: it ends in their midst; SAID: it cannot be read. */
static int get(struct recording *r, void *bytes, size_t size)
{
    ZSTD_outBuffer out = {bytes, size, 0};
    while (out.pos < size) {
        size_t before = out.pos, taken, e;
        if (r->in.pos == r->in.size && !r->ended) {
            r->in = (ZSTD_inBuffer){r->input, fread(r->input, 1, sizeof r->input, r->file), 0};
            r->done += r->in.size;
            r->ended = r->in.size == 0;
            if (ferror(r->file))
                return broken(r, strerror(errno)), SAID;
        }
        taken = r->in.pos;
        e = ZSTD_decompressStream(r->expand, &out, &r->in);
        if (ZSTD_isError(e))
            return broken(r, r->begun ? "it is damaged. What came before is good"
                                      : "it is no recording of tarn record"),
                   SAID;
        if (r->in.pos != taken || out.pos != before)
            r->whole = e == 0;
        if (r->ended && out.pos == before)
            return out.pos ? CUT : END;
    }
    return GOT;
}

int recording_read(struct recording *r, struct recorded *ret_head, char *bytes, uint32_t most)
{
    unsigned char h[20];
    int e = get(r, h, sizeof h);
    if (e == END && r->whole)
        return 0;
    if (e == GOT) {
        *ret_head = (struct recorded){number_of(h, 8), number_of(h + 8, 8), (uint32_t)number_of(h + 16, 4)};
        if (ret_head->size > most)
            return broken(r, "a message in it is larger than it says that messages are: it is damaged. What "
                             "came before is good"),
                   -1;
        e = get(r, bytes, ret_head->size);
    }
    if (e == GOT)
        return 1;
    if (e != SAID)
        broken(r,
               "it ends within a message: its recorder was killed, or it is a part of a recording. What came "
               "before is good");
    return -1;
}

/* ---- opening ---- */

static bool begin(struct recording *r, uint32_t most, const char *name)
{
    unsigned char h[16];
    memcpy(h, RECORDING_MAGIC, 8);
    number(h + 8, most, 4);
    number(h + 12, strlen(name), 4);
    return put(r, h, sizeof h, ZSTD_e_continue) && put(r, name, strlen(name), ZSTD_e_flush);
}

static bool read_begin(struct recording *r, uint32_t *most, char *name)
{
    unsigned char h[16];
    uint64_t length;
    int e = get(r, h, sizeof h);
    if (e != GOT || memcmp(h, RECORDING_MAGIC, 8))
        return e != SAID && broken(r, "it is no recording of tarn record");
    *most = (uint32_t)number_of(h + 8, 4);
    length = number_of(h + 12, 4);
    if (*most > 1 << 30 || length > 255)
        return broken(r, "its first bytes make no sense: it is damaged");
    if ((e = get(r, name, length)) != GOT)
        return e != SAID && broken(r, "it ends within its first bytes: there is no message in it");
    name[length] = 0;
    return r->begun = true;
}

static bool open_file(struct recording *r, int *ret_status)
{
    struct stat st;
    r->file = fopen(r->path, r->write ? "wbxe" : "rbe");
    if (!r->file) {
        *ret_status = status_of(-errno);
        broken(r, errno == EEXIST
                      ? "it is there already, and is not written over: remove it, or say another name"
                      : strerror(errno));
        return false;
    }
    if (!r->write && fstat(fileno(r->file), &st) == 0)
        r->all = (uint64_t)st.st_size;
    return true;
}

struct recording *recording_open(const struct command *c, const char *path, bool write, uint32_t *most,
                                 char *name, int *ret_status)
{
    struct recording *r = calloc(1, sizeof *r);
    *ret_status = REFUSED;
    if (!r)
        return complain(c->name, "no memory"), NULL;
    r->command = c;
    r->path = path;
    r->write = write;
    if (!open_file(r, ret_status)) {
        free(r);
        return NULL;
    }
    r->compress = write ? ZSTD_createCCtx() : NULL;
    r->expand = write ? NULL : ZSTD_createDCtx();
    if (!r->compress && !r->expand)
        complain(c->name, "no memory");
    else if (write ? begin(r, *most, name) : read_begin(r, most, name))
        return r;
    else if (!write)
        *ret_status = WRONG;
    if (write)
        unlink(path); /* there is nothing in it */
    r->failed = true;
    recording_close(r);
    return NULL;
}

bool recording_close(struct recording *r)
{
    bool good;
    if (!r)
        return true;
    good = !r->write || put(r, NULL, 0, ZSTD_e_end);
    if (fclose(r->file) && r->write && good)
        good = not_written(r, strerror(errno));
    ZSTD_freeCCtx(r->compress);
    ZSTD_freeDCtx(r->expand);
    free(r);
    return good;
}

void recording_progress(const struct recording *r, uint64_t *ret_done, uint64_t *ret_all)
{
    *ret_done = r->done;
    *ret_all = r->all;
}
