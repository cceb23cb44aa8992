/* segment/ref.c - between refs and this process's addresses, and the descriptor. Every ref is checked against the committed bytes. */
#include "segment/segment.h"

void *tarn_ptr(tarn *seg, tarn_ref ref, size_t size)
{
    return ref && in_data(seg, ref, size) ? at_offset(seg, ref) : NULL;
}

tarn_ref tarn_ref_of(tarn *seg, const void *address)
{
    uint64_t offset = (uint64_t)((uintptr_t)address - (uintptr_t)seg->base);
    return in_data(seg, offset, 1) ? offset : 0;
}

void *tarn_base(tarn *seg)
{
    return seg->raw ? seg->raw : seg->base;
}

int tarn_fd(tarn *seg)
{
    return seg->object.fd;
}
