#!/usr/bin/env python3
"""Refuses, in every src/*/layout.h, what two builds may lay out differently. usage: check-layout.py [TOP]

A layout.h holds preprocessor lines, enums for constants, structs, and _Static_asserts. A struct's fields are of fixed width
(intN_t, uintN_t, char in arrays), structs of a layout.h, tarn_ref or tarn_mutex, and arrays and anonymous structs of these: no pointers,
no bit-fields, no unions, no types whose width is the compiler's choice. Each named struct has a _Static_assert on its sizeof.
"""
import pathlib
import re
import sys

FIXED = {f'{sign}int{bits}_t' for sign in ('', 'u') for bits in (8, 16, 32, 64)} | {'tarn_ref', 'tarn_mutex', 'char'}
SKIP = re.compile(r'/\*.*?\*/|//[^\n]*|^[ \t]*#(?:[^\n\\]|\\.)*', re.S | re.M)
TOKEN = re.compile(r'\n|"(?:[^"\\\n]|\\.)*"|[A-Za-z_]\w*|[0-9][\w.]*|==|\S')
OPEN, CLOSE = '([{', ')]}'


def tokens(text):
    """(word, line) of all that is no comment and no preprocessor line."""
    text = SKIP.sub(lambda m: re.sub(r'[^\n]', ' ', m[0]), text)
    line = 1
    for m in TOKEN.finditer(text):
        if m[0] == '\n':
            line += 1
        else:
            yield m[0], line


def statements(words):
    """Lists of words, cut at each semicolon that no bracket holds (which is left out)."""
    depth, out = 0, []
    for w in words:
        depth += (w[0] in OPEN) - (w[0] in CLOSE)
        if w[0] == ';' and depth == 0:
            yield out
            out = []
        else:
            out.append(w)
    if out:
        yield out


def closing(words, start):
    """Index of the bracket that closes the one at start."""
    depth = 0
    for i in range(start, len(words)):
        depth += (words[i][0] in OPEN) - (words[i][0] in CLOSE)
        if depth == 0:
            return i
    return len(words) - 1


def without_attributes(words):
    out, i = [], 0
    while i < len(words):
        if words[i][0] in ('__attribute__', '_Alignas') and i + 1 < len(words):
            i = closing(words, i + 1) + 1
        else:
            out.append(words[i])
            i += 1
    return out


class Layout:
    def __init__(self, name, text):
        self.name, self.faults, self.structs, self.uses, self.asserted = name, [], {}, [], set()
        for s in statements(tokens(text)):
            self.top_level(without_attributes(s))
        for struct, line in self.structs.items():
            if struct not in self.asserted:
                self.fault(line, f'struct {struct} has no _Static_assert on its sizeof')

    def fault(self, line, what):
        self.faults.append((line, f'{self.name}:{line}: {what}'))

    def top_level(self, s):
        words = [w for w, _ in s]
        if not words:
            return
        if words[0] == '_Static_assert':
            self.asserted.update(re.findall(r'sizeof \( struct (\w+) \) ==', ' '.join(words)))
        elif words[0] == 'struct' and '{' in words and words.index('{') == 2 and closing(s, 2) == len(s) - 1:
            self.structs[words[1]] = s[0][1]
            self.fields(f'struct {words[1]}', s[3:-1])
        elif words[0] == 'enum' and '{' in words and words[-1] == '}':
            pass  # constants; as the type of a field it is refused
        elif words[0] == 'struct' and len(words) == 2:
            pass  # a declaration
        else:
            self.fault(s[0][1], f'"{" ".join(words[:6])}": only structs, enums for constants and _Static_asserts stand here')

    def fields(self, owner, body):
        for f in statements(body):
            words, line = [w for w, _ in f], f[0][1] if f else 0
            if not words:
                continue
            if words[0] == 'struct' and '{' in words[1:3]:
                at = words.index('{')
                end = closing(f, at)
                if at == 2:
                    self.fault(line, f'{owner}: struct {words[1]} is declared inside: declare it by itself')
                self.fields(owner, f[at + 1:end])
                kind, rest = 'struct', words[end + 1:]
            elif words[0] == 'struct' and len(words) > 2:
                kind, rest = f'struct {words[1]}', words[2:]
                self.uses.append((line, owner, words[1]))
            else:
                kind, rest = words[0], words[1:]
                if kind not in FIXED:
                    self.fault(line, f'{owner}: "{" ".join(words)}": {kind} is no type of fixed width')
                    continue
            self.declarators(owner, kind, rest, line)

    def declarators(self, owner, kind, rest, line):
        text = ' '.join(rest)
        plain = re.sub(r'\[[^\]]*\]', '[]', text)
        if '*' in plain or '(' in plain:
            self.fault(line, f'{owner}: "{kind} {text}": no pointers')
        elif ':' in plain:
            self.fault(line, f'{owner}: "{kind} {text}": no bit-fields')
        elif not re.fullmatch(r'(\w+ ?(\[\] ?)*(, )?)*', plain):
            self.fault(line, f'{owner}: "{kind} {text}": not understood; write it plainly')
        elif kind == 'char' and not all('[' in d for d in plain.split(',')):
            self.fault(line, f'{owner}: "{kind} {text}": char only in arrays')


def faults(top):
    layouts = [Layout(str(p.relative_to(top)), p.read_text(errors='replace'))
               for p in sorted((top / 'src').glob('*/layout.h'))]
    known = {s for layout in layouts for s in layout.structs}
    for layout in layouts:
        for line, owner, used in layout.uses:
            if used not in known:
                layout.fault(line, f'{owner}: struct {used} is declared in no layout.h')
        for _, fault in sorted(layout.faults):
            yield fault


def main():
    top = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()
    found = list(faults(top))
    print(*found, sep='\n', end='\n' if found else '')
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
