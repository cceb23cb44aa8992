/* os/probe.h - places at which a tracer can look on: USDT probes of the provider `tarn`, for perf, bpftrace, SystemTap and gdb. docs/tracing.md names them.
 *
 * One is a no-operation, and a note in the library that tells where it is and where its arguments are found: registers, or memory as it stands, so nothing
 * is computed for it by gcc; clang puts them on the stack. Their form is SystemTap's, from its header alone. Built without that header, or with -Dprobes=disabled, they are nothing. */
#ifndef TARN_OS_PROBE_H
#define TARN_OS_PROBE_H

#ifdef TARN_PROBES
#define SDT_USE_VARIADIC
#include <sys/sdt.h>
#define PROBE(name, ...) STAP_PROBEV(tarn, name, __VA_ARGS__)
#else
int probe_nothing(int unused, ...); /* declared alone: the arguments are not evaluated */
#define PROBE(name, ...) ((void)sizeof(probe_nothing(0, __VA_ARGS__)))
#endif

#endif
