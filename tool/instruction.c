/* instruction.c - see instruction.h. (The tables are those of the Intel manual, volume 2, appendix A: which opcodes are followed by a ModRM byte.) */
#include "instruction.h"

#ifdef __x86_64__
#include <string.h>
#include <sys/user.h>

struct reading {
    const uint8_t *at, *end;
    uint8_t extend_index, extend_base; /* 0 or 8: of REX, VEX and EVEX */
    bool repeat, private;              /* F2 or F3 before it; based on fs or gs */
    uint8_t wide;                      /* EVEX: displacements of a byte count so many */
};

static uint8_t next(struct reading *r)
{
    return r->at < r->end ? *r->at++ : 0;
}

static uint8_t prefixes(struct reading *r)
{
    for (;;) {
        uint8_t b = next(r);
        switch (b) {
        case 0xf2:
        case 0xf3: r->repeat = true; break;
        case 0x64:
        case 0x65: r->private = true; break;
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
        case 0x66:
        case 0x67:
        case 0xf0: break;
        default:
            if ((b & 0xf0) != 0x40)
                return b;
            r->extend_index = b & 2 ? 8 : 0;
            r->extend_base = b & 1 ? 8 : 0;
            return next(r);
        }
    }
}

/* The vector prefixes have the opcode's map, and the registers' fourth bits inverted. */
static void vector(struct reading *r, uint8_t prefix)
{
    uint8_t first = next(r);
    if (prefix != 0xc5) {
        r->extend_index = first & 0x40 ? 0 : 8;
        r->extend_base = first & 0x20 ? 0 : 8;
        next(r);
    }
    if (prefix == 0x62)
        r->wide = (uint8_t)(16 << (next(r) >> 5 & 3));
    next(r); /* the opcode */
}

static bool has_operand(uint8_t op)
{
    if (op < 0x40)
        return (op & 7) < 4;
    return op == 0x63 || op == 0x69 || op == 0x6b || (op >= 0x80 && op <= 0x8f) || op == 0xc0 || op == 0xc1 ||
           op == 0xc6 || op == 0xc7 || (op >= 0xd0 && op <= 0xd3) || (op >= 0xd8 && op <= 0xdf) ||
           op == 0xf6 || op == 0xf7 || op >= 0xfe;
}

static bool has_operand_0f(uint8_t op)
{
    return !((op >= 0x05 && op <= 0x0c) || op == 0x0e || (op >= 0x30 && op <= 0x37) || op == 0x77 ||
             (op >= 0x80 && op <= 0x8f) || (op >= 0xa0 && op <= 0xa2) || (op >= 0xa8 && op <= 0xaa) ||
             (op >= 0xc8 && op <= 0xcf));
}

static void operand(struct reading *r, struct instruction *i)
{
    uint8_t modrm = next(r), mode = modrm >> 6, low = modrm & 7;
    if (mode == 3 || r->private || (mode == 0 && low == 5))
        return;
    i->touches = TOUCHES_MEMORY;
    i->base = (int8_t)(low | r->extend_base);
    if (low == 4) {
        uint8_t sib = next(r), index = (uint8_t)((sib >> 3 & 7) | r->extend_index);
        i->scale = (uint8_t)(1 << (sib >> 6));
        i->index = index == 4 ? -1 : (int8_t)index;
        i->base = (sib & 7) == 5 && mode == 0 ? -1 : (int8_t)((sib & 7) | r->extend_base);
    }
    if (mode == 1)
        i->displacement = (int8_t)next(r) * (r->wide ? r->wide : 1);
    else if ((mode == 2 || i->base < 0) && r->end - r->at >= 4)
        memcpy(&i->displacement, r->at, 4);
}

/* movs, stos: to where rdi points. */
static void string_operand(const struct reading *r, const uint8_t *code, struct instruction *i)
{
    i->touches = TOUCHES_MEMORY;
    i->base = 7;
    i->repeated = r->repeat ? (uint8_t)(r->at - code) : 0;
}

void instruction_read(const uint8_t code[static INSTRUCTION_MOST], struct instruction *ret)
{
    struct reading r = {.at = code, .end = code + INSTRUCTION_MOST};
    uint8_t op = prefixes(&r);
    *ret = (struct instruction){.base = -1, .index = -1, .scale = 1};
    if (op == 0xc4 || op == 0xc5 || op == 0x62) {
        vector(&r, op);
        operand(&r, ret);
    } else if (op == 0xa4 || op == 0xa5 || op == 0xaa || op == 0xab)
        string_operand(&r, code, ret);
    else if (op != 0x0f) {
        if (has_operand(op))
            operand(&r, ret);
    } else if ((op = next(&r)) == 0x05)
        ret->touches = TOUCHES_KERNEL;
    else if (op == 0x38 || op == 0x3a) {
        next(&r);
        operand(&r, ret);
    } else if (has_operand_0f(op))
        operand(&r, ret);
}

static uint64_t value_of(const struct user_regs_struct *r, int number)
{
    const unsigned long long v[] = {r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi,
                                    r->r8,  r->r9,  r->r10, r->r11, r->r12, r->r13, r->r14, r->r15};
    return number < 0 ? 0 : v[number];
}

uint64_t instruction_address(const struct instruction *i, const struct user_regs_struct *r)
{
    return value_of(r, i->base) + value_of(r, i->index) * i->scale + (uint64_t)(int64_t)i->displacement;
}
#endif
