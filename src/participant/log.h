/* participant/log.h - reading the log backwards: between the files of this floor only. */
#ifndef TARN_PARTICIPANT_LOG_H
#define TARN_PARTICIPANT_LOG_H

#include "participant/participant.h"

/* Undo an open journal's entries: leaves {open, 0}. Repeatable. */
void log_undo(struct self *s);
/* Apply a committed journal's frees: leaves {committed, 0}, intent 0. Repeatable. */
void log_apply(struct self *s);

/* Give the private set of freed blocks back: the section, or the self, ends. */
void log_forget_freed(struct self *s);

#endif
