/* oracle_call.c - what the oracle wants of the call channel "call" of operations_call.c, once all dead are recovered: whoever opens it clears their seats; then each request that
 * is there is whole, each call of the driver is answered rightly, or failed as it may, or there still; every other slot is free; and a call goes its way. */
#include <errno.h>
#include <string.h>

#include "channel/channel.h"
#include "lab.h"

size_t call_body_size(int i)
{
    static const size_t size[] = {24, 30, CALL_BODY_MOST};
    return size[i];
}
void call_body(void *to, int i, char what)
{
    memset(to, what + i, call_body_size(i));
}
static int which(const void *at, size_t size, char what)
{
    char body[CALL_BODY_MOST];
    for (int i = 0; i < 3; i++) {
        call_body(body, i, what);
        if (size == call_body_size(i) && !memcmp(at, body, size))
            return i;
    }
    return -1;
}

/* word: {turn:45, state:3, seat + 1:16}: docs/channel.md */
enum { FREE, OPEN, ASKED, TAKEN, ANSWERED, FAILED, CANCELLED };
static const char *slot_right(const struct party *p, const struct call_slot *slot)
{
    unsigned state = slot->word >> 16 & 7, seat = slot->word & 0xffff;
    const char *at = slot->flags >> 31 ? (const char *)(slot + 1) + (CALL_BODY_MOST + 63) / 64 * 64 : slot->small;
    int i;
    if (state == FREE)
        return NULL;
    if (seat - 1 >= p->shape.seats || ID_INDEX(p->seats[seat - 1].id) != 0)
        return "call: a slot is nobody's, and not free";
    if (state == CANCELLED && p->seats[seat - 1].role == TARN_RECEIVE)
        return NULL; /* in the driver's hand, and its client is dead */
    if (state == FAILED)
        return slot->error == -ENODATA || (slot->error == -EOWNERDEAD && !(slot->flags & TARN_CALL_REPEATABLE))
                   ? NULL
                   : "call: it failed otherwise than it may";
    if (state != ANSWERED)
        return "call: a call of the driver's is neither answered nor failed nor there";
    i = which(at, slot->response, ANSWER);
    return i < 0 ? "call: an answer is not whole" : NULL;
}

static const char *round_trip(tarn_call *client, tarn_call *server)
{
    struct tarn_request r;
    const void *got;
    void *at;
    size_t size;
    uint64_t id;
    if (tarn_call_loan_try(client, 4, &at, &id))
        return "call: no slot is free";
    memcpy(at, "ping", 4);
    if (tarn_call_begin(client, id, 0, 4) || tarn_call_next_try(server, &r) || r.size != 4 ||
        memcmp(r.at, "ping", 4) || tarn_call_answer(server, r.id, "pong!", 5) ||
        tarn_call_wait_try(client, id, &got, &size) || size != 5 || memcmp(got, "pong!", 5) ||
        tarn_call_end(client, id))
        return "call: a call does not go its way";
    return NULL;
}

const char *judge_call(tarn *seg)
{
    struct tarn_request r;
    struct party p;
    tarn_call *client, *server;
    const char *bad = NULL;
    tarn_ref ref;
    if (tarn_find(seg, "call", NULL, &ref))
        return NULL;
    if (channel_look(seg, "call", &p))
        return "call: it is damaged";
    if (tarn_call_open(seg, "call", TARN_SEND, NULL, &client) ||
        tarn_call_open(seg, "call", TARN_RECEIVE, NULL, &server))
        return "call: it cannot be opened";
    while (!bad && tarn_call_next_try(server, &r) == 0) {
        int i = which(r.at, r.size, REQUEST);
        char body[CALL_BODY_MOST];
        if (i < 0)
            bad = "call: a request is not whole";
        else {
            call_body(body, i, ANSWER);
            if (tarn_call_answer(server, r.id, body, call_body_size(i)))
                bad = "call: a request cannot be answered";
        }
    }
    for (uint32_t i = 0; !bad && i < p.shape.capacity; i++)
        bad = slot_right(
            &p, (const struct call_slot *)(void *)(p.slots + 16ull * p.shape.capacity +
                                                   i * (64 + 2 * ((CALL_BODY_MOST + 63ull) / 64 * 64))));
    if (!bad)
        bad = round_trip(client, server);
    if (bad)
        return bad; /* its handles are left: the driver ends soon */
    return tarn_call_close(client) || tarn_call_close(server) ? "call: it cannot be closed" : NULL;
}
