#!/usr/bin/env python3
"""Refuses an #include that goes up a floor. usage: check-floors.py [TOP]

Each directory of src/ is a floor; a file includes from its own floor or from below, as "floor/file.h" or, of its own floor,
"file.h". Files directly in src/ are the top and may include all. What stands outside src/ for users to read or run (tool, demo,
examples, bench) includes only <tarn.h> and <tarn/...> of the project; tool, demo and bench have headers of their own besides. Tests may include
all.
"""
import pathlib
import re
import sys

FLOORS = ['os', 'backing', 'segment', 'participant', 'sync', 'heap', 'name', 'collection', 'channel']  # from the bottom
OUTSIDE = ['tool', 'demo', 'examples', 'bench']
OWN_HEADERS = ['tool', 'demo', 'bench']
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^">]+)[">]', re.M)


def c_files(directory):
    return sorted(p for p in directory.rglob('*') if p.suffix in ('.c', '.h', '.cc', '.cpp', '.hpp'))


def includes(path):
    """(line, quoted, name) of each #include; one in a comment counts too, which hurts nobody."""
    text = path.read_text(errors='replace')
    for m in INCLUDE.finditer(text):
        yield text.count('\n', 0, m.start(2)) + 1, m[1] == '"', m[2]


def fault_in_src(path, src, quoted, name):
    """Why a file of src/ may not include this, or None."""
    within = path.relative_to(src).parts
    own = within[0] if len(within) > 1 else None
    if own and own not in FLOORS:
        return f'src/{own} is no floor: add it to FLOORS in scripts/check-floors.py'
    first, _, rest = name.partition('/')
    if name == 'tarn.h' or name.startswith('tarn/') or (not quoted and first not in FLOORS):
        return None
    if '..' in name.split('/'):
        return f'"{name}": write it as "floor/file.h"'
    if not rest:
        return None if (path.parent / name).exists() else f'"{name}" is no file of its own floor: write "floor/{name}"'
    if first not in FLOORS:
        return f'"{name}": {first} is no floor'
    if own and FLOORS.index(first) > FLOORS.index(own):
        return f'"{name}" goes up, from {own} to {first}'
    return None


def fault_outside(path, top, quoted, name):
    """Why a file of tool, demo, examples or bench may not include this, or None."""
    area = path.relative_to(top).parts[0]
    if name == 'tarn.h' or (not quoted and name.startswith('tarn/')):
        return None
    if quoted and area in OWN_HEADERS:
        found = [d / name for d in (path.parent, top / area) if (d / name).exists()]
        if found and (top / area).resolve() in found[0].resolve().parents:
            return None
    if quoted or name.split('/')[0] in FLOORS + ['src']:
        return f'"{name}": {area} includes only <tarn.h> and <tarn/...> of this project'
    return None


def faults(top):
    src = top / 'src'
    for path in c_files(src):
        for line, quoted, name in includes(path):
            fault = fault_in_src(path, src, quoted, name)
            if fault:
                yield f'{path.relative_to(top)}:{line}: {fault}'
    for area in OUTSIDE:
        for path in c_files(top / area):
            for line, quoted, name in includes(path):
                fault = fault_outside(path, top, quoted, name)
                if fault:
                    yield f'{path.relative_to(top)}:{line}: {fault}'


def main():
    top = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()
    found = list(faults(top))
    print(*found, sep='\n', end='\n' if found else '')
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
