#!/usr/bin/env python3
"""Each public function is an operation of CRASHLAB's table, or excused by name: not both, and nobody else. usage: check_table.py TOP"""
import pathlib
import re
import sys


def main():
    top = pathlib.Path(sys.argv[1])
    header = re.sub(r'/\*.*?\*/', '', ''.join((top / 'include' / h).read_text() for h in ('tarn.h', 'tarn/channel.h')), flags=re.S)
    public = re.findall(r'^TARN_API\b[^;(]*?\b(\w+)\(', header, re.M)
    table = re.sub(r'/\*.*?\*/', '', ''.join(
        f.read_text() for f in sorted((top / 'test/crash').glob('operations*.c'))), flags=re.S)
    called = set(re.findall(r'\b(tarn_\w+)\(', table))
    if 'tarn_object(' in table or 'tarn_object_v(' in table:  # macros over it
        called.add('tarn_find_or_make')
    excused = {}
    for line in (top / 'test/crash/excused.txt').read_text().splitlines():
        if line.strip() and not line.startswith('#'):
            name, _, reason = line.partition(' ')
            excused[name] = reason.strip()
    faults = [f'{n}: neither an operation in test/crash/operations*.c nor excused in test/crash/excused.txt'
              for n in public if n not in called and n not in excused]
    faults += [f'{n}: excused, and an operation' for n in excused if n in called]
    faults += [f'{n}: excused, and in no header' for n in excused if n not in public]
    faults += [f'{n}: excused without a reason' for n, reason in excused.items() if not reason]
    count = len(re.findall(r'^    \{"', table, re.M))
    if count < 40:
        faults.append(f'only {count} operations')
    print(*faults, sep='\n', end='\n' if faults else '')
    return 1 if faults or len(public) < 40 else 0


if __name__ == '__main__':
    sys.exit(main())
