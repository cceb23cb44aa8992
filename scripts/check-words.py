#!/usr/bin/env python3
"""Refuses, in tracked files and their names, what belongs to the workplace and not to the project. usage: check-words.py [TOP]"""
import pathlib
import re
import subprocess
import sys

# Put together from parts, so that this file does not refuse itself.
WORDS = [
    ('a path of this machine', re.compile(rb'(?<![\w.~-])/wo' + rb'rk/')),
    ('a word of the workplace', re.compile(rb'farm-' + rb'(?:bench|studio)')),
]


def tracked(top):
    # safe.directory: also where a checkout belongs to another user than the one who checks
    git = ['git', '-c', 'safe.directory=*', '-C', str(top)]
    out = subprocess.run([*git, 'ls-files', '-z'], check=True, stdout=subprocess.PIPE).stdout
    return sorted(set(n.decode() for n in out.split(b'\0') if n))


def faults(top):
    for name in tracked(top):
        for what, word in WORDS:
            if word.search(b' ' + name.encode()):
                yield f'{name}: its name has {what}'
        path = top / name
        if not path.is_file() or path.is_symlink():
            continue
        for number, line in enumerate(path.read_bytes().split(b'\n'), 1):
            for what, word in WORDS:
                if word.search(line):
                    yield f'{name}:{number}: {what}: {line.strip()[:100].decode(errors="replace")}'


def main():
    top = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()
    found = list(faults(top))
    print(*found, sep='\n', end='\n' if found else '')
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
