#!/usr/bin/env python3
"""Makes the library's sources for the explorer. usage: plant.py FAULTS SOURCE OUTPUT; FAULTS: the file of planted faults, or - for none
or: plant.py FAULTS - OUTPUT NAME...: the table of faults, each in a source of one of these names

Planted faults
are steps left out or made wrong, each behind a switch that is off unless its number is explore_fault. Each text must be found exactly once, so that
a fault goes with the code it was planted in."""
import pathlib
import sys

SWITCH = '''extern int explore_fault;
static inline _Bool planted(int fault)
{
    return explore_fault == fault;
}
'''


def read(table):
    """Of each fault: its number, from 1 on, and its fields."""
    faults = []
    for line in pathlib.Path(table).read_text().splitlines():
        key, colon, text = line.partition(':')
        if line.startswith('#') or not colon:
            continue
        if key == 'fault':
            faults.append({'number': len(faults) + 1, 'edits': []})
        if key == 'old':
            faults[-1]['edits'].append([text.strip().replace('\\n', '\n'), None])
        elif key == 'new':
            faults[-1]['edits'][-1][1] = text.strip().replace('\\n', '\n')
        else:
            faults[-1][key] = text.strip()
    return faults


def header(faults):
    yield '/* Made by plant.py: number, case, what is wrong, whether only delayed stores show it. */'
    for f in faults:
        yield f'X({f["number"]}, "{f["case"]}", "{f["fault"]}", {int(f.get("delays") == "only")})'


def main():
    table, source, output = sys.argv[1:4]
    faults = [] if table == '-' else read(table)
    if source == '-':
        for f in faults:
            if pathlib.Path(f['file']).name not in sys.argv[4:]:
                sys.exit(f'planted fault "{f["fault"]}": meson.build plants none in {f["file"]}')
        pathlib.Path(output).write_text('\n'.join(header(faults)) + '\n')
        return 0
    path = pathlib.Path(source)
    text = path.read_text()
    planted = False
    for f in faults:
        if '/'.join(path.parts[-2:]) != f['file']:
            continue
        for old, new in f['edits']:
            if text.count(old) != 1:
                sys.exit(f'{source}: planted fault "{f["fault"]}": its text is there {text.count(old)} times: {old}')
            planted = True
            text = text.replace(old, new.replace('FAULT', f'planted({f["number"]})'))
    pathlib.Path(output).write_text(f'{SWITCH if planted else ""}#line 1 "{source}"\n{text}')
    return 0


sys.exit(main())
