/* faults.h - planted faults: each a wrong order or a missing step in the protocol, and the scenario that must catch it. */
#ifndef MODEL_FAULTS_H
#define MODEL_FAULTS_H

#define FAULTS /* name, scenario, what is wrong */                                                           \
    X(NONE, 0, "none")                                                                                       \
    X(SPLIT_LOGGED, 1, "split in the section's own log")                                                     \
    X(SPLIT_WRITTEN, 1, "split of a bucket that the section has written")                                    \
    X(SPLIT_CLEARED_FIRST, 1, "moved entry cleared before the sibling is published")                         \
    X(SPLIT_NO_FLAG, 1, "sibling published without CLEANING")                                                \
    X(SPLIT_FLAG_FIRST, 1, "CLEANING taken off before the moved entry is cleared")                           \
    X(SPLIT_UNFINISHED, 1, "next holder does not finish the cleaning")                                       \
    X(GET_ONE_LOOK, 1, "reader who finds nothing does not look at the link again")                           \
    X(OLDEST_FIRST, 4, "undo oldest first")                                                                  \
    X(EARLY_RELEASE, 2, "recovery frees locks before it undoes")                                             \
    X(IDLE_FIRST, 2, "recovery sets the journal idle before it frees locks")                                 \
    X(ONE_PHASE, 2, "unlock at once inside a section")                                                       \
    X(DEFER_CLEAN, 2, "put-off unlock of a lock taken outside comes back clean")                             \
    X(MEND_NOW, 2, "consistent at once inside a section")                                                    \
    X(MEND_KEPT, 2, "abort keeps consistent's marks")                                                        \
    X(STALE_SECTION, 2, "in-section flag outlives its section")                                              \
    X(WANT_IGNORED, 2, "recovery ignores WANT")                                                              \
    X(SLOT_LATE, 2, "slot written after the lock is taken")                                                  \
    X(SLOTS_USED_LATE, 2, "slots_used raised after the slot is written")                                     \
    X(UNLOCK_SLOT_FIRST, 2, "unlock: slot cleared before owner")                                             \
    X(END_SLOT_FIRST, 2, "end pass: slot cleared before owner")                                              \
    X(ADOPT_FALLEN, 3, "span of a dead, unrecovered owner adopted")                                          \
    X(ADOPT_KEEPS_R, 3, "adopter leaves R bytes of free blocks")                                             \
    X(ADOPT_STORE, 16, "adoption by a store")                                                                \
    X(COUNT_FIRST, 4, "journal counts an entry before it is written")                                        \
    X(TAKE_FIRST, 4, "block taken before it is in the log")                                                  \
    X(EXTENT_LOGGED, 4, "log extent allocated in the section")                                               \
    X(COMMIT_IDLE, 4, "commit with frees makes the journal idle first")                                      \
    X(INNER_ABORT, 4, "inner abort does not doom the outer")                                                 \
    X(UNDO_FREES, 5, "undone allocation free at once")                                                       \
    X(NO_GRACE, 5, "retired block reaped at once")                                                           \
    X(NO_PIN, 5, "readers' pins not looked at")                                                              \
    X(PIN_LATE, 5, "reader looks first and pins afterwards")                                                 \
    X(DEAD_PIN, 5, "pin of a dead reader stays and holds")                                                   \
    X(AGED_IN_HAND, 5, "block ages while its ref may still be in place")                                     \
    X(NO_TAKEOVER, 6, "dead recoverer not replaced")                                                         \
    X(RECOVERER_NO_GENERATION, 6, "recoverer judged by its record, not its generation")                      \
    X(RECOVERER_STORE, 18, "recoverer word by a store")                                                      \
    X(NO_SECOND_LOOK, 6, "no second look after winning the recoverer word")                                  \
    X(FREE_BEFORE_GENERATION, 6, "record free before its new generation")                                    \
    X(FATE_AFTER, 7, "fate: generation and state read only after liveness")                                  \
    X(LEAVE_LIVENESS_FIRST, 7, "leave: liveness first")                                                      \
    X(LEAVE_STATE_FIRST, 7, "leave: state free before the new generation")                                   \
    X(CLAIM_NO_BYTE, 7, "claim without the byte lock")                                                       \
    X(CLAIM_NO_LOOK, 7, "claim: no look at state and liveness under the byte lock")                          \
    X(CLAIM_STATE_FIRST, 7, "claim: state taken before liveness")                                            \
    X(NAME_LOCK_FREE, 8, "finder trusts a name seen without the lock")                                       \
    X(NAME_FILLED_LATE, 8, "name committed before its block is filled")                                      \
    X(NAME_NO_LOOK, 8, "maker does not look again under the lock")                                           \
    X(INTO_NO_INTENT, 9, "alloc_into without its intent")                                                    \
    X(INTO_TAKE_FIRST, 9, "alloc_into: block taken before the ref")                                          \
    X(NO_ROLL, 9, "alloc_into not rolled forward")                                                           \
    X(FROM_PLACE_FIRST, 9, "free_from: ref before the block's state")                                        \
    X(FROM_INTENT_FIRST, 9, "free_from: intent cleared before the ref")                                      \
    X(ROLL_BLIND, 9, "free_from rolled forward though the state was not set")                                \
    X(SWAP_OLD_LATE, 9, "replace: swap_old after the intent")                                                \
    X(SWAP_RETIRE_FIRST, 9, "replace: old block retired before the ref changes")                             \
    X(HAND_IGNORED, 9, "owner reaps what is in hand")                                                        \
    X(HAND_FIRST, 9, "owner reads intents before R")                                                         \
    X(NO_HAND, 9, "commit's frees without HAND")                                                             \
    X(HAND_EARLY, 9, "HAND cleared before the journal counts the free off")                                  \
    X(HAND_CLEARED, 9, "recovery clears HAND before it does the frees again")                                \
    X(RECOVERER_CODE, 9, "recoverer's own code in R")                                                        \
    X(REAP_R_FIRST, 9, "reap: R = 0 before F = 1")                                                           \
    X(SPAN_NO_INIT, 10, "span claimed without INIT")                                                         \
    X(RUN_FIRST, 10, "run's first word before its rest")                                                     \
    X(REST_KEPT, 10, "rest of a half-made run left")                                                         \
    X(REST_UNCOVERED, 10, "rest freed though its run covers it")                                             \
    X(APART_NO_INIT, 10, "taken apart without INIT")                                                         \
    X(APART_FIRST_FIRST, 10, "taken apart: first word before the rest")                                      \
    X(APART_STORE, 10, "taken apart by plain stores")                                                        \
    X(RUN_STORE, 11, "run's rest claimed by a store")                                                        \
    X(LONGER_STORE, 21, "a longer run's rest claimed by a store")                                            \
    X(LONGER_FIRST, 21, "a longer run's first word before its rest")                                         \
    X(SHORTER_STORE, 21, "a shorter run's end given back by a store")                                        \
    X(SHORTER_FIRST, 21, "a shorter run's end given back before its first word")                             \
    X(HAND_LEFT, 21, "recovery leaves HAND as it was")                                                       \
    X(GROW_EARLY, 12, "committed published before the backing's commit")                                     \
    X(GROW_STORE, 12, "committed by a store")                                                                \
    X(GROW_NO_SIDE, 12, "side tables not committed")                                                         \
    X(CIRCLE_WAITS_LATE, 13, "looks for a circle before it says what it waits for")                          \
    X(CIRCLE_TIMED, 13, "counts on a waiter who gives up by himself")                                        \
    X(CIRCLE_ONE_LOOK, 13, "-EDEADLK after one look")                                                        \
    X(CIRCLE_NO_COUNT, 17, "second look without waits_count")                                                \
    X(CIRCLE_SAME_ORDER, 17, "both looks read the count before the word")                                    \
    X(CIRCLE_DEAD, 13, "second look does not see that one of the circle died")                               \
    X(SLOTS_IGNORED, 14, "owner reaps what a slot points into")                                              \
    X(SLOTS_FIRST, 14, "slots looked at before the pins")                                                    \
    X(INNER_DIRTY, 15, "inner lock comes back dirty")                                                        \
    X(INNER_PUT_OFF, 15, "inner unlock put off")                                                             \
    X(COUNT_NOT_UNDONE, 19, "undo of a removal does not count a move")                                       \
    X(COUNT_BEFORE_LINK, 19, "count logged before the link: its undo comes after the link's")                \
    X(MOVES_LATE, 19, "insertion counts a move after next(l)")                                               \
    X(SPARE_NO_LOOK, 20, "dead spare claimed though somebody is recovering it")                              \
    X(SPARE_LOOK_FIRST, 20, "dead spare: recoverer's word looked at before liveness")                        \
    X(SPARE_SAME_GENERATION, 20, "dead spare claimed without a new generation")

#define X(name, scenario, text) FAULT_##name,
enum fault { FAULTS FAULT_COUNT };
#undef X

#endif
