#!/usr/bin/env python3
"""The manual agrees with tarn.h: every function has a page or an alias, and its synopsis is its prototype; the first program stands
in tarn(7), in README.md and in examples/counter.c in the same bytes. Every command has a page, with its options and columns.
usage: manual.py TOP"""
import pathlib
import re
import sys

PROTOTYPE = re.compile(r'^TARN_API\s+([^;]+?)\b(tarn_\w+)\((.*?)\);', re.M | re.S)
SYNOPSIS = re.compile(r'^\.Ft (.*)\n\.Fo (\w+)\n((?:\.Fa .*\n)*)\.Fc', re.M)


def joined(text):
    """Without blanks that mean nothing."""
    return re.sub(r'\s*([*,()])\s*', r'\1', ' '.join(text.split()))


def prototypes(header):
    text = re.sub(r'/\*.*?\*/', '', header.read_text(), flags=re.S)
    return {name: joined(f'{result} {name}({arguments})') for result, name, arguments in PROTOTYPE.findall(text)}


def synopses(pages):
    for page in pages:
        for result, name, arguments in SYNOPSIS.findall(page.read_text()):
            arguments = ','.join(a[4:].strip('"') for a in arguments.splitlines())
            yield page, name, joined(result.strip('"') + f' {name}({arguments})')


def command_faults(top):
    """A page of its own, or an alias of tarn(1); of the former: each option and each column that the source has."""
    listing = (top / 'tool' / 'listing.h').read_text()
    aliases = re.search(r"'tarn\.1': \[(.*?)\]", (top / 'man' / 'meson.build').read_text(), re.S)[1]
    sources = sorted((top / 'tool').glob('cmd_*.c'))
    for source in sources:
        text = source.read_text()
        name = re.search(r'\.name = "([\w-]+)"', text)[1]
        page = top / 'man' / f'tarn-{name}.1'
        if not page.exists():
            if f"'tarn-{name}'" not in aliases:
                yield f'tarn {name} has no page'
            continue
        if f"'tarn-{name}.1'" not in (top / 'man' / 'meson.build').read_text():
            yield f'man/meson.build: {page.name} is not installed'
        manual = page.read_text()
        shared = listing if 'LISTING_OPTIONS' in text and not re.search(r'other options are those of\n.Xr tarn-ls 1', manual) else ''
        for option in re.findall(r'\{"([a-z-]+)", (?:no|required|optional)_argument', text + shared):
            if option != 'help' and not re.search(rf'Fl -{option}\b', manual):
                yield f'{page.name}: says nothing of --{option}'
        for column in re.findall(r'^    \[\w+\] =\s+\{"([A-Z-]+)"', text, re.M):
            if not re.search(rf'Li {column}\b', manual):
                yield f'{page.name}: says nothing of the column {column}'
    if len(sources) < 13:
        yield f'tool/: only {len(sources)} commands understood'


def faults(top):
    yield from command_faults(top)
    declared = prototypes(top / 'include' / 'tarn.h') | prototypes(top / 'include' / 'tarn/channel.h')
    if len(declared) < 40:
        yield f'include/tarn.h: only {len(declared)} prototypes understood'
    lists = dict(re.findall(r"'(tarn\w*\.3)': \[(.*?)\]", (top / 'man' / 'meson.build').read_text(), re.S))
    shown = {'tarn_object': None}  # a macro
    for page, name, prototype in synopses(sorted((top / 'man').glob('*.3'))):
        if name == 'tarn_object':
            continue
        shown[name] = prototype
        if prototype != declared.get(name):
            yield f'{page.name}: {prototype}; tarn.h has: {declared.get(name)}'
        if name != page.stem and f"'{name}'" not in lists.get(page.name, ''):
            yield f'man/meson.build: {name} is not in the aliases of {page.name}'
        if not re.search(rf'^\.Nm {name}( ,)?$', page.read_text(), re.M):
            yield f'{page.name}: {name} is not in NAME'
    yield from (f'{name} has no page' for name in declared if name not in shown)

    options = re.search(r'^struct tarn_options \{(.*?)^\};', (top / 'include' / 'tarn.h').read_text(), re.M | re.S)[1]
    for field in re.findall(r'^    \w+ (\w+)[;\[]', options, re.M):
        if field != 'reserved' and not re.search(rf'Va ([\w ,]+, )?{field}$', (top / 'man' / 'tarn_open.3').read_text(), re.M):
            yield f'tarn_open.3: says nothing of options.{field}'

    program = (top / 'examples' / 'counter.c').read_text()
    if f'```c\n{program}```\n' not in (top / 'README.md').read_text():
        yield 'README.md: its first program is not examples/counter.c'
    if '```c\n' + (top / 'examples' / 'list.c').read_text() + '```' not in (top / 'README.md').read_text():
        yield 'README.md: its second program is not examples/list.c'
    if program.replace('\\', '\\e') not in (top / 'man' / 'tarn.7').read_text():
        yield 'man/tarn.7: its program is not examples/counter.c'


def main():
    found = list(faults(pathlib.Path(sys.argv[1])))
    print(*found, sep='\n', end='\n' if found else '')
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
