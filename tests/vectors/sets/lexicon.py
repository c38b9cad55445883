# SPDX-License-Identifier: Apache-2.0
"""Reading words by rule: phrases that mean something, words that mean nothing, and no third kind.

A text is made plain (lower case, hyphens to blanks outside of names with a dot), every phrase of the
lexicon is taken out of it, and what is left must be filler.  Any other word makes the text "not
understood", and the message names the words: a case is never passed over because of a word that nobody
knows.  Longer and negated phrases have to stand before what they contain.
"""

import re

_TAKEN = "\x00"
_WORD = re.compile(r"[^\s\x00,;:()\"'`+/=!?<>\[\]{}]+")

# Words that change nothing.  Not among them: not, no, never, without, only, unless, except, until, or.
FILLER = frozenset("""
a an and any are as at be been being but by can could does do did for from had has have he her here his
i if in into is it its itself just least made make makes may might must need needs now of off on one onto
our own per shall should so some such than that the their them then there these they this those thus to
towards under up upon us was we were what when where which while who whose will with would yet you your
i.e e.g also still again therefore hence because since
""".split())


class NotUnderstood(Exception):
    """A text that no rule knows."""

    def __init__(self, words, text):
        words = [words] if isinstance(words, str) else words
        super().__init__(f"the words {', '.join(repr(w) for w in words)} in {text!r}")


def plain(text):
    def word(m):
        return m[0] if "." in m[0].strip(".,;:") else m[0].replace("-", " ")
    return re.sub(r"\S+", word, " ".join(text.lower().split())).replace("\u2019", "'")


def without_remarks(text):
    """Without what stands in parentheses."""
    while True:
        shorter = re.sub(r"\s*\([^()]*\)", "", text)
        if shorter == text:
            return text
        text = shorter


def _compiled(entries):
    return [(re.compile(rf"(?<![\w.])(?:{pattern})(?!\w)"), meaning) for pattern, meaning in entries]


class Lexicon:
    """entries: (pattern, meaning), looked for in this order; filler: further words without meaning."""

    def __init__(self, entries, filler=""):
        self._entries = _compiled(entries)
        self._filler = FILLER | set(filler.split())

    def read(self, text, names=()):
        """[(meaning, match), ...] in the order of the text.  names: further entries, of this case alone."""
        original, text, found = text, plain(text), []
        for pattern, meaning in _compiled(names) + self._entries:
            def take(match, meaning=meaning):
                found.append((match.start(), meaning, match))
                return _TAKEN * len(match[0])
            text = pattern.sub(take, text)
        left = [w for w in (word.strip(".-") for word in _WORD.findall(text)) if w and w not in self._filler]
        if left:
            raise NotUnderstood(left, original)
        return [(meaning, match) for _, meaning, match in sorted(found, key=lambda f: f[0])]

    def understands(self, text, names=()):
        try:
            return bool(self.read(text, names))
        except NotUnderstood:
            return False

    def alternatives(self, text, names=()):
        """The texts that stand beside each other with "or"; each can be read by itself.

        "TXT fails or is gone" is "TXT fails" and "TXT is gone": an alternative that does not stand alone
        borrows its beginning from the one before."""
        parts = [p.strip(" ,") for p in re.split(r",?\s+or\s+|\s*\|\s*", text)]
        if len(parts) == 1 or self.understands(text, names):   # a phrase may have an "or" of its own
            self.read(text, names)
            return [text]
        whole = [parts[0]]
        for part in parts[1:]:
            words = whole[-1].split()
            # First with all of the words before, then with fewer, in the end by itself.
            borrowed = [" ".join(words[:n] + [part]) for n in range(len(words) - 1, 0, -1)]
            candidates = [part] if self.understands(part, names) else borrowed
            fits = [c for c in candidates if self.understands(c, names)]
            if not fits:
                self.read(part, names)   # says which words
                raise NotUnderstood(part, text)
            whole.append(fits[0])
        for part in whole:
            self.read(part, names)
        return whole
