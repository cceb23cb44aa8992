/* participant/event.h - the flight recorder: each record's last events, in the segment, for whoever asks later. docs/crash-core.md
 *
 * Only what is rare is noted, and nothing rests on it: an event is lost if its writer dies in it, and the ring is written over. */
#ifndef TARN_PARTICIPANT_EVENT_H
#define TARN_PARTICIPANT_EVENT_H

#include "participant/participant.h"

/* What a and b are, by enum tarn_trace_kind:
 *   ATTACH   pid | tid << 32; 0; text: the thread's name
 *   GROW     bytes of data space before, and after
 *   HELD     a slot of a dead one that is being recovered; its id | pid << 32
 *   RECOVER  id of the dead | pid << 32; {us:32, words of its log:20, slots:10, journal state:2}
 *   LOCK     offset of a lock that came with TARN_RECOVERED; 0
 *   ERROR    -error; how often in a row; text: the sentence's beginning */
#define EVENT_RECOVERY(us, words, slots, state)                                                              \
    ((uint64_t)(us) << 32 | (uint64_t)(words) << 12 | (uint64_t)(slots) << 2 | (state))

static inline struct event *record_events(const struct tarn *seg, struct record *r)
{
    return (struct event *)(void *)(record_log(seg, r) + seg->geometry.log_words);
}

/* By the record's thread; text: up to 32 bytes, or NULL. A self without a record notes nothing. */
void event_note(struct self *s, enum tarn_trace_kind kind, uint64_t a, uint64_t b, const char *text);
/* That a call of this thread failed: fail() tells it. The segment is the one that the thread used last. */
void event_error(int error, const char *sentence);

#endif
