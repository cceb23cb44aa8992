/* guard.h - a command in a child of its own, for what reads other people's bytes by means that may not stand them. */
#ifndef TARN_TOOL_GUARD_H
#define TARN_TOOL_GUARD_H

#include "tool.h"

/* true: this is the child, which goes on, and whose status is the command's; it may use `seconds` of CPU until guard_lift. false: this is the parent, and *ret_status what
 * the child ended with, or after a complaint, of `what` (what was being read), WRONG. */
bool guard(const struct command *c, const char *what, unsigned seconds, int *ret_status);
void guard_lift(void); /* the dangerous part is over: no bound of CPU any more */

#endif
