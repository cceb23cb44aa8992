#!/usr/bin/env python3
"""The shared library exports exactly what the headers mark TARN_API, each under a version. usage: exports.py LIBRARY HEADER..."""
import pathlib
import re
import subprocess
import sys


def main():
    library, *headers = sys.argv[1:]
    text = re.sub(r'/\*.*?\*/', '', ''.join(pathlib.Path(h).read_text() for h in headers), flags=re.S)
    declared = set(re.findall(r'^TARN_API\b[^;(]*?\b(\w+)\(', text, re.M))
    if len(declared) < 40 or text.count('\nTARN_API ') != len(declared):
        sys.exit(f'exports.py: {headers}: {len(declared)} declarations understood, of {text.count(chr(10) + "TARN_API ")}')
    out = subprocess.run(['nm', '-D', '--defined-only', library], check=True, stdout=subprocess.PIPE).stdout.decode()
    exported = set()
    faults = []
    for line in out.splitlines():
        kind, symbol = line.split()[-2:]
        name, _, version = symbol.partition('@@')
        if kind == 'A':  # a version's own symbol
            continue
        exported.add(name)
        if not version:
            faults.append(f'{symbol} has no version: add it to src/tarn.map')
    faults += [f'{n} is in a header, and not exported: add it to src/tarn.map' for n in sorted(declared - exported)]
    faults += [f'{n} is exported, and in no header' for n in sorted(exported - declared)]
    print(*faults, sep='\n', end='\n' if faults else '')
    return 1 if faults else 0


if __name__ == '__main__':
    sys.exit(main())
