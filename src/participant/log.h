/* participant/log.h - reading the log backwards: between the files of this floor only. */
#ifndef TARN_PARTICIPANT_LOG_H
#define TARN_PARTICIPANT_LOG_H

#include "participant/participant.h"

/* The journal's word, here and in the segment. */
static inline void put_journal(struct self *s, unsigned state, uint64_t words)
{
    s->journal = JOURNAL(state, words);
    s->plain = s->journal ? (struct tarn *)s : s->seg;
    store64(&s->record->journal, s->journal);
}

/* Undo an open journal's entries: leaves {open, 0}. Repeatable. */
void log_undo(struct self *s);
/* Apply a committed journal's frees: leaves {committed, 0}, intent 0. Repeatable. */
void log_apply(struct self *s);

/* Give the private set of freed blocks back: the section, or the self, ends. */
void log_forget_freed(struct self *s);
/* ... and all else that this floor has in private memory for it. */
void log_forget(struct self *s);

#endif
