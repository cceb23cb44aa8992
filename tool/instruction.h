/* instruction.h - what an instruction of x86-64 may change that others see: a look at its bytes, as far as that takes.
 *
 * Not a disassembler: it knows where an instruction's memory operand is, whether it enters the kernel, and whether it repeats itself. An operand relative to the
 * instruction's own address, or to a thread's private data, is no shared memory and is left out; so are scatters. */
#ifndef TARN_TOOL_INSTRUCTION_H
#define TARN_TOOL_INSTRUCTION_H

#include <stdbool.h>
#include <stdint.h>

struct user_regs_struct;

struct instruction {
    enum {
        TOUCHES_NOTHING,
        TOUCHES_MEMORY, /* at base + index * scale + displacement: reads it or writes it */
        TOUCHES_KERNEL  /* a system call */
    } touches;
    int8_t base, index; /* numbers of registers; -1: none */
    uint8_t scale;
    int32_t displacement;
    uint8_t repeated; /* its length, if it is a string instruction with a repeat before it; else 0 */
};

enum { INSTRUCTION_MOST = 15 }; /* bytes */
void instruction_read(const uint8_t code[static INSTRUCTION_MOST], struct instruction *ret);
uint64_t instruction_address(const struct instruction *i, const struct user_regs_struct *r);

#endif
