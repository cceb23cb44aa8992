"""mutation - small faults in the sources, found by reading them: for scripts/mutants.py.

mutants(top) reads the floors of FLOORS and returns every fault of these kinds, in the order of the sources:

    swap     two adjacent stores to a segment, exchanged
    store    a store to a segment left out
    save     a save into the log left out
    barrier  a barrier left out; one of all threads made a fence of this one; the store before it put after it, or the look after it before it
    hint     a flush or change of a hint (lists, caches, directories) left out
    compare  < for <=, <= for <, and so on
    wake     a wake, the ringing of a doorbell, or the arming of the bell, left out
    recheck  a second look at what was read before, left out; or at the epoch, after a copy without a pin
    order    a memory order made weaker, or an exchange a store

It knows no C: comments, strings and probes are blanked, functions are what has its braces in the first column, statements are told by brackets and
semicolons. That is enough for the manner in which these sources are written. A fault never adds or takes away a line, so what stands at a line of
a mutant stands there in the source too. Its name is file:function:kind:number, counted within the function, so that it lasts while the
function does; its mark is a sum over what is changed, and tells an excuse (or a result) from another fault that has come by the same name.
"""
import hashlib
import re

FLOORS = ['participant', 'sync', 'heap', 'name', 'collection', 'channel']
KINDS = ['swap', 'store', 'save', 'barrier', 'hint', 'compare', 'wake', 'recheck', 'order']

STORES = ['store64', 'store32', 'store8', 'swap32', 'swap64', 'exchange32', 'put_journal', '__atomic_store_n', '__atomic_exchange_n',
          '__atomic_fetch_or', '__atomic_fetch_add', '__atomic_compare_exchange_n']
LOADS = r'\b(?:load64|load32|__atomic_load_n|fate_of|fate_quick|mutex_held|liveness_locked|epoch_now)\('
BARRIERS = ['compiler_barrier', 'all_threads_barrier', '__atomic_thread_fence', 'os_membarrier', 'os_membarrier_register']
FULL = ['all_threads_barrier', 'os_membarrier', 'os_membarrier_register']  # and a fence of SEQ_CST: they empty store buffers
WAKES = ['os_futex_wake', 'os_robust_pending', 'bell_arm', 'bell_disarm', 'pass', 'mutex_wake_after_unlock', 'doorbell_ring', 'ring_quick_bell', 'ring_news', 'ring_room',
         'ring_released', 'ring_all', 'wake_client']
SAVES = ['log_save', 'tarn_save', 'save', 'section_save']
HINT = re.compile(r'(?:h|q|m)->\w+(?:\[.*?\])?(?:\.\w+)?\s*(?:[-+]?=(?!=)|\+\+)|span->\w+\s*=(?!=)|notes_clear\(|span_open\(|span_forget\(|'
                  r'list_add\(|forget_pick\(|log_forget\w*\(|note_freed\(|put_freed\(|q->block\[')
# memory that only its own thread sees
PRIVATE = re.compile(r'^(?:s|dead|w|w->\w+|h|q|c|p|a|copies|show)(?:->|\.)')
WEAKER = {'__ATOMIC_SEQ_CST': '__ATOMIC_RELAXED', '__ATOMIC_ACQUIRE': '__ATOMIC_RELAXED', '__ATOMIC_RELEASE': '__ATOMIC_RELAXED',
          '__ATOMIC_ACQ_REL': '__ATOMIC_RELAXED'}
OFF_BY_ONE = {'<': '<=', '<=': '<', '>': '>=', '>=': '>'}
BLANK = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|^[ \t]*#(?:[^\n\\]|\\.|\\\n)*', re.S | re.M)
PROBE = re.compile(r'\bPROBE\([^;]*\);')


class Mutant:
    def __init__(self, file, function, kind, edits, text, line, tso):
        self.file, self.function, self.kind, self.edits = file, function, kind, edits
        self.line, self.tso = line, tso
        self.what = ' '.join('; '.join(f'{text[a:b]} -> {new or "nothing"}' for a, b, new in edits).split())
        self.mark = hashlib.sha256(self.what.encode()).hexdigest()[:6]
        self.name = ''

    def apply(self, text):
        for a, b, new in sorted(self.edits, reverse=True):
            missing = text.count('\n', a, b) - new.count('\n')
            text = text[:a] + new + '\n' * missing + text[b:]
        return text


# ---- reading ----

def blanked(text):
    for what in (BLANK, PROBE):
        text = what.sub(lambda m: re.sub(r'[^\n]', ' ', m[0]), text)
    return text


def functions(code):
    """(name, where its body's brace opens, where it closes)"""
    for m in re.finditer(r'^\{', code, re.M):
        end = code.index('\n}', m.start()) + 1
        before = max(code.rfind('\n}', 0, m.start()) + 2, code.rfind(';', 0, m.start()) + 1)
        head = re.sub(r'__attribute__\(\(.*?\)\)', '', code[before:m.start()])
        name = re.search(r'(\w+)\s*\(', head)
        if name:
            yield name[1], m.start(), end


def closing(code, at):
    depth = 0
    for i in range(at, len(code)):
        depth += (code[i] in '([{') - (code[i] in ')]}')
        if depth == 0:
            return i
    raise ValueError('a bracket is not closed')


class Statement:
    """simple, or a block, or what if, for, while and switch rule: `head` is the span of its brackets, `inner` what stands under it."""

    def __init__(self, start, end, word='', head=None, inner=(), otherwise=None):
        self.start, self.end, self.word, self.head, self.inner, self.otherwise = start, end, word, head, inner, otherwise


def skip(code, at):
    while code[at].isspace():
        at += 1
    return at


def block(code, at):
    """The statements between this brace and its partner, and where that is."""
    out, end = [], closing(code, at)
    at = skip(code, at + 1)
    while at < end:
        s = statement(code, at)
        out.append(s)
        at = skip(code, s.end)
    return out, end + 1


def statement(code, at):
    start = at = skip(code, at)
    if code[at] == '{':
        inner, end = block(code, at)
        return Statement(start, end, 'block', inner=inner)
    word = re.match(r'\w*', code[at:])[0]
    label = re.match(r'(?:case\b[^:?]*|default|\w+)\s*:(?!:)', code[at:])
    if label and '?' not in label[0]:
        return Statement(start, at + label.end(), 'label')
    if word in ('if', 'for', 'while', 'switch'):
        a = code.index('(', at)
        b = closing(code, a)
        under = statement(code, b + 1)
        end, otherwise = under.end, None
        more = re.match(r'\s*else\b', code[end:])
        if word == 'if' and more:
            otherwise = statement(code, end + more.end())
            end = otherwise.end
        return Statement(start, end, word, (a + 1, b), [under], otherwise)
    if word in ('else', 'do'):
        under = statement(code, at + len(word))
        return Statement(start, code.index(';', under.end) + 1 if word == 'do' else under.end, word, inner=[under])
    depth = 0
    for i in range(at, len(code)):
        depth += (code[i] in '([{') - (code[i] in ')]}')
        if code[i] == ';' and depth == 0:
            return Statement(start, i + 1, 'simple')
    raise ValueError('a statement does not end')


def blocks(statements):
    """Every list of statements, outermost first."""
    yield statements
    for s in statements:
        if s.word == 'block':
            yield from blocks(s.inner)
        else:
            for under in [*s.inner, *([s.otherwise] if s.otherwise else [])]:
                yield from blocks(under.inner if under.word == 'block' else [under])


def called(code, s):
    """The function that a simple statement calls, and does nothing else, or ''."""
    m = re.match(r'(?:\(void\)\s*)?([\w.]+)\s*\(', code[s.start:s.end])
    if s.word != 'simple' or not m or m[1] in ('return', 'sizeof'):
        return ''
    return m[1] if skip(code, closing(code, s.start + m.end() - 1) + 1) == s.end - 1 else ''


def storing_functions(codes):
    """Those that store into a segment, by themselves or by what they call."""
    bodies = {}
    for code in codes:
        for name, a, b in functions(code):
            bodies.setdefault(name, set()).update(re.findall(r'\b(\w+)\s*\(', code[a:b]))  # several files may have one of that name
    found, before = set(STORES), 0
    while len(found) != before:
        before = len(found)
        found |= {name for name, calls in bodies.items() if calls & found}
    return found


# ---- one function ----

class Reader:
    def __init__(self, file, text, storers, segment_structs):
        self.file, self.text, self.code = file, text, blanked(text)
        self.storers, self.structs = storers, segment_structs
        self.found = []

    def add(self, kind, *edits, tso=False):
        a = min(e[0] for e in edits)
        self.found.append(Mutant(self.file, self.function, kind, list(edits), self.text, self.text.count('\n', 0, a) + 1, tso))

    def all(self):
        for self.function, a, b in functions(self.code):
            body, _ = block(self.code, a)
            self.pointers = set()
            head = self.code[max(self.code.rfind('\n}', 0, a), self.code.rfind(';', 0, a), 0):b]
            for m in re.finditer(r'\b(?:struct )?(\w+) \*(?:const )?(\w+)((?:[^;(){}]|\([^;{}]*?\))*)', head):
                if m[1] in self.structs:
                    self.pointers |= {m[2], *re.findall(r', \*(\w+)', m[3])}
            for statements in blocks(body):
                self.block(statements)
            self.comparisons(a, b)
            self.orders(a, b)
            self.saves(a, b)
            for m in re.finditer(r'(?<=[(!])os_membarrier_register\(\)', self.code[a:b]):
                self.add('barrier', (a + m.start(), a + m.end(), '0'), tso=True)
            self.rechecks(a, b)
        counts = {}
        for m in sorted(self.found, key=lambda m: (m.edits[0][0], KINDS.index(m.kind))):
            key = (m.function, m.kind)
            counts[key] = counts.get(key, 0) + 1
            m.name = f'{self.file}:{m.function}:{m.kind}:{counts[key]}'
            yield m

    def ordered_store(self, s):
        """One of an order of stores: by its own word, or by a function that has them."""
        name = called(self.code, s)
        return name in STORES or name.startswith('tarn_recovery.') or name in self.storers

    def is_store(self, s):
        if s.word in ('if', 'for') and not s.otherwise:
            return self.is_store(s.inner[0])
        if s.word != 'simple':
            return False
        m = re.match(r'(\w+)->[\w.\[\]>-]*(?: \+\+| --|\+\+|--| [-+|&]?= )', self.code[s.start:s.end])
        return self.ordered_store(s) or bool(m and m[1] in self.pointers)

    def is_ordered(self, s):
        return self.is_ordered(s.inner[0]) if s.word in ('if', 'for') else self.ordered_store(s)

    def block(self, statements):
        code = self.code
        before = full_before = None
        for s in statements:
            name = called(code, s)
            if full_before and re.search(LOADS, code[s.start:s.end]):
                self.exchange('barrier', full_before, s, tso=True)
            full_before = s if name in FULL else None
            if s.word == 'simple':
                text = code[s.start:s.end]
                if name in BARRIERS:
                    full = name in FULL or (name == '__atomic_thread_fence' and 'SEQ_CST' in text)
                    self.add('barrier', (s.start, s.end, ';'), tso=full)
                    if name in ('all_threads_barrier', 'os_membarrier'):
                        self.add('barrier', (s.start, s.end, '__atomic_thread_fence(__ATOMIC_SEQ_CST);'), tso=True)
                    if full and before and self.is_store(before):
                        self.exchange('barrier', before, s, tso=True)
                elif name in WAKES:
                    self.add('wake', (s.start, s.end, ';'))
                elif HINT.match(text):
                    self.add('hint', (s.start, s.end, ';'))
                elif name in STORES and not PRIVATE.match(text[text.index('(') + 1:].lstrip('&')):
                    self.add('store', (s.start, s.end, ';'))
                elif name.startswith('tarn_recovery.'):
                    self.add('store', (s.start, s.end, ';'))
            if self.is_store(s):
                if before and self.is_store(before) and (self.is_ordered(s) or self.is_ordered(before)):
                    self.exchange('swap', before, s)
                before = s
            elif name not in ('compiler_barrier', 'kill_point'):
                before = None

    def exchange(self, kind, a, b, tso=False):
        """The lines of both stay as many as they were, together."""
        one, two = self.text[a.start:a.end], self.text[b.start:b.end]
        flat = lambda t: ' '.join(blanked(t).split()) if '\n' in t else t
        self.add(kind, (a.start, a.end, flat(two)), (b.start, b.end, flat(one)), tso=tso)

    def comparisons(self, a, b):
        for m in re.finditer(r'(?<=\s)(<=|>=|<|>)(?=\s)', self.code[a:b]):
            self.add('compare', (a + m.start(), a + m.end(), OFF_BY_ONE[m[0]]))

    def orders(self, a, b):
        for m in re.finditer(r'\b(__atomic_\w+|exchange32)\(', self.code[a:b]):
            at, end = a + m.start(), closing(self.code, a + m.end() - 1) + 1
            call = self.code[at:end]
            if m[1] == 'exchange32':
                self.add('order', (at, at + len(m[1]), 'store32'), tso=True)
            elif m[1] == '__atomic_exchange_n':
                new = call.replace('__atomic_exchange_n', '__atomic_store_n').replace('SEQ_CST', 'RELEASE')
                self.add('order', (at, end, new), tso=True)
            elif m[1] != '__atomic_thread_fence' or '__ATOMIC' in call:
                order = re.search(r'__ATOMIC_(?:SEQ_CST|ACQUIRE|RELEASE|ACQ_REL)', call)
                if order and m[1] != '__atomic_thread_fence':
                    self.add('order', (at + order.start(), at + order.end(), WEAKER[order[0]]))

    def saves(self, a, b):
        for m in re.finditer(r'\b(' + '|'.join(SAVES) + r')\(', self.code[a:b]):
            end = closing(self.code, a + m.end() - 1) + 1
            self.add('save', (a + m.start(), end, '0'))

    def rechecks(self, a, b):
        """In a condition, or what is returned: a part that looks at what was looked at above; or looks at all, after a compare-and-swap
        or a barrier of this function."""
        for m in re.finditer(r'\b(?:if|while|return)\b', self.code[a:b]):
            at = a + m.end()
            if m[0] == 'return':
                start, end = at, self.code.index(';', at)
                if '&&' not in self.code[start:end]:
                    continue
            else:
                start = self.code.index('(', at) + 1
                end = closing(self.code, start - 1)
                rare = re.match(r'TARN_RARE\(', self.code[start:end])
                if rare and closing(self.code, start + 9) == end - 1:
                    start, end = start + 10, end - 1
            above = self.code[a:start]
            after = re.search(r'\b(?:swap32|swap64|all_threads_barrier|pthread_mutex_trylock|__atomic_compare_exchange_n|lock_byte)\(', above)
            for p, q, sign in parts(self.code, start, end):
                whole = re.search(r'!?again_is_good\(', self.code[p:q])  # whatever was copied without a pin, counts
                if whole:
                    self.add('recheck', (p + whole.start(), closing(self.code, p + whole.end() - 1) + 1, f'({int(whole[0][0] != "!")})'))
                looks = [self.code[p + l.start():closing(self.code, p + l.end() - 1) + 1] for l in re.finditer(LOADS, self.code[p:q])]
                if not looks or not (after or any(l in above for l in looks)):
                    continue
                jump = re.match(r'\s*(?:return|continue|break|goto)\b', self.code[end + 1:])
                new = {'&&': '1', '||': '0', '': '0' if m[0] == 'if' and jump else '1'}[sign]
                keep = len(self.code[p:q]) - len(self.code[p:q].lstrip())
                self.add('recheck', (p + keep, q, f'({new})'))


def parts(code, start, end):
    """(from, to, sign) of what && or || hold together at the top of an expression; sign '' if it is one part alone."""
    cuts, depth = [], 0
    for i in range(start, end):
        depth += (code[i] in '([{') - (code[i] in ')]}')
        if depth == 0 and code[i:i + 2] in ('&&', '||'):
            cuts.append((i, code[i:i + 2]))
    if not cuts:
        return [(start, end, '')]
    out, at = [], start
    for n, (i, sign) in enumerate(cuts):
        out.append((at, i, '&&' if '&&' in (sign, cuts[n - 1][1] if n else sign) else '||'))
        at = i + 2
    out.append((at, end, cuts[-1][1]))
    return out


def sources(top):
    for floor in FLOORS:
        yield from sorted(p for p in (top / 'src' / floor).iterdir() if p.suffix in ('.c', '.h') and p.name != 'layout.h')


def mutants(top):
    files = [(str(p.relative_to(top / 'src')), p.read_text()) for p in sources(top)]
    structs = {'tarn_mutex', 'tarn_list', 'tarn_link'}
    for layout in (top / 'src').glob('*/layout.h'):
        structs |= set(re.findall(r'^struct (\w+) \{', blanked(layout.read_text()), re.M))
    storers = storing_functions([blanked(text) for _, text in files])
    out = []
    for file, text in files:
        out += Reader(file, text, storers, structs).all()
    return out
