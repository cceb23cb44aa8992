/* participant/claim.h - claiming and leaving records: between the files of this floor only. */
#ifndef TARN_PARTICIPANT_CLAIM_H
#define TARN_PARTICIPANT_CLAIM_H

#include "participant/participant.h"

/* Make the records of a fresh segment. */
void records_create(struct tarn *seg);
/* Its liveness word is of no living thread, whatever it says: as in a fresh segment. */
void record_fresh_liveness(struct record *r);
/* Claim a record for s (whose seg is set): fills the rest of s. 0, -EUSERS, or as the system says. */
int record_claim(struct self *s);
/* By its recoverer: a liveness word that the kernel left locked (an exec by another thread than the leader) is as after a death. */
void record_unlock_dead(struct record *r);
/* Leave in good order: nothing held, nothing open. */
void record_leave(struct self *s);
/* Leave it as a death would: the thread ends, with something held. */
void record_abandon(struct self *s);
/* Is any record taken by somebody dead, as far as liveness words tell? */
bool record_any_dead(struct tarn *seg);
/* No participant is alive, and nobody else is here: all are put right. Believes nothing that it reads. */
void records_all_dead(struct tarn *seg);
/* Is this liveness word locked by a living thread? */
bool liveness_locked(uint32_t word);

#endif
