/* recording.c - see recording.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zstd.h>

#include "recording.h"

struct recording {
    const struct command *command;
    const char *path;
    FILE *file;
    bool write, ended;
    ZSTD_CCtx *compress;
    ZSTD_DCtx *expand;
    ZSTD_inBuffer in;
    bool whole; /* a frame has ended, and no other has begun */
    uint64_t done, all;
    char input[1 << 17], output[1 << 17];
};

static void *broken(struct recording *r, const char *what)
{
    complain(r->command->name, "%s: %s", r->path, what);
    return NULL;
}

/* ---- writing ---- */

static bool put(struct recording *r, const void *bytes, size_t size, ZSTD_EndDirective end)
{
    ZSTD_inBuffer in = {bytes, size, 0};
    size_t left;
    do {
        ZSTD_outBuffer out = {r->output, sizeof r->output, 0};
        left = ZSTD_compressStream2(r->compress, &out, &in, end);
        if (ZSTD_isError(left))
            return broken(r, ZSTD_getErrorName(left));
        if (fwrite(r->output, 1, out.pos, r->file) < out.pos)
            return broken(r, strerror(errno));
    } while (in.pos < in.size || (end != ZSTD_e_continue && left));
    if (end != ZSTD_e_continue && fflush(r->file))
        return broken(r, strerror(errno));
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

bool recording_write(struct recording *r, const struct recorded *head, const char *bytes, bool flush)
{
    unsigned char h[20];
    number(h, head->gap, 8);
    number(h + 8, head->sequence, 8);
    number(h + 16, head->size, 4);
    return put(r, h, sizeof h, ZSTD_e_continue) &&
           put(r, bytes, head->size, flush ? ZSTD_e_flush : ZSTD_e_continue);
}

/* ---- reading ---- */

/* 1; 0: the end of the file before the first of them; -1: it ends in their midst, or is damaged; said, but for the end. */
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
                return broken(r, strerror(errno)), -1;
        }
        taken = r->in.pos;
        e = ZSTD_decompressStream(r->expand, &out, &r->in);
        if (ZSTD_isError(e))
            return broken(r, "it is no recording of tarn record, or is damaged"), -1;
        if (r->in.pos != taken || out.pos != before)
            r->whole = e == 0;
        if (r->ended && out.pos == before)
            return out.pos || size == 0 ? -1 : 0;
    }
    return 1;
}

int recording_read(struct recording *r, struct recorded *ret_head, char *bytes, uint32_t most)
{
    unsigned char h[20];
    int e = get(r, h, sizeof h);
    if (e == 0 && r->whole)
        return 0;
    if (e == 1) {
        *ret_head = (struct recorded){number_of(h, 8), number_of(h + 8, 8), (uint32_t)number_of(h + 16, 4)};
        if (ret_head->size > most)
            return broken(r, "a message in it is larger than it says that messages are: it is damaged"), -1;
        e = ret_head->size ? get(r, bytes, ret_head->size) : 1;
        if (e == 1)
            return 1;
    }
    broken(r, "it ends within a message: its recorder was killed, or it is a part of a recording. What came "
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
    if (get(r, h, sizeof h) != 1 || memcmp(h, RECORDING_MAGIC, 8))
        return broken(r, "it is no recording of tarn record");
    *most = (uint32_t)number_of(h + 8, 4);
    length = number_of(h + 12, 4);
    if (*most > 1 << 30 || length > 255 || (length && get(r, name, length) != 1))
        return broken(r, "its first bytes make no sense: it is damaged");
    name[length] = 0;
    return true;
}

struct recording *recording_open(const struct command *c, const char *path, bool write, uint32_t *most, char *name)
{
    struct recording *r = calloc(1, sizeof *r);
    struct stat st;
    if (!r)
        return complain(c->name, "no memory"), NULL;
    r->command = c;
    r->path = path;
    r->write = write;
    r->file = fopen(path, write ? "wbxe" : "rbe");
    if (!r->file) {
        if (errno == EEXIST)
            broken(r, "it is there already, and is not written over: remove it, or say another name");
        else
            broken(r, strerror(errno));
        free(r);
        return NULL;
    }
    if (!write && fstat(fileno(r->file), &st) == 0)
        r->all = (uint64_t)st.st_size;
    r->compress = write ? ZSTD_createCCtx() : NULL;
    r->expand = write ? NULL : ZSTD_createDCtx();
    if (!(write ? r->compress != NULL && begin(r, *most, name) : r->expand != NULL && read_begin(r, most, name))) {
        r->write = false;
        recording_close(r);
        return NULL;
    }
    return r;
}

bool recording_close(struct recording *r)
{
    bool good = true;
    if (!r)
        return true;
    if (r->write)
        good = put(r, NULL, 0, ZSTD_e_end);
    if (fclose(r->file) && r->write)
        good = broken(r, strerror(errno));
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
