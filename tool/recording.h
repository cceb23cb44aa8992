/* recording.h - the file of tarn record: a zstd stream of
 *     "tarnrec1"; u32 largest message; u32 length of the topic's name; the name;
 *     then for each message: u64 ns since the one before it was sent (of the first: 0); u64 its sequence number; u32 its size; its bytes
 * Numbers have their least significant byte first. What is written is flushed within a second, so a recorder that is killed leaves a file that is good up to there. */
#ifndef TARN_TOOL_RECORDING_H
#define TARN_TOOL_RECORDING_H

#include <stdio.h>

#include "message.h"

#define RECORDING_MAGIC "tarnrec1"

struct recorded {
    uint64_t gap, sequence;
    uint32_t size;
};

struct recording; /* an open file */

/* To write, or to read. NULL after a complaint: *ret_status. *most, name[256]: given to a writer, filled in for a reader. */
struct recording *recording_open(const struct command *c, const char *path, bool write, uint32_t *most,
                                 char *name, int *ret_status);
/* false after a complaint; then nothing more is written. */
bool recording_write(struct recording *r, const struct recorded *head, const char *bytes);
/* What was written so far can be read by others. As recording_write. */
bool recording_flush(struct recording *r);
/* 1: one was read, into a buffer of `most` bytes; 0: the end; -1 after a complaint. */
int recording_read(struct recording *r, struct recorded *ret_head, char *bytes, uint32_t most);
/* The end of what was written; false after a complaint. NULL is accepted. */
bool recording_close(struct recording *r);
/* Of the file: bytes read so far, and in all. */
void recording_progress(const struct recording *r, uint64_t *ret_done, uint64_t *ret_all);

#endif
