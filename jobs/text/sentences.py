"""Where a sentence ends, in every script.

In: a text or a line. Out: the number of sentence ends; whether a line ends as a sentence does.

A sentence ends at a character with Unicode's property Sentence_Terminal (PropList of Unicode 17,
the table below; `tests/jobs/text/test_sentences.py` compares it with the property). `.`, `!` and
`?` end one only before a space, a closing quotation mark or bracket or the end of the text, as in
UAX #29 SB11 without its look ahead. Added, because their scripts have no such character or are
typed without it:

    Tibetan      shad and its like (U+0F0D to U+0F12), which end clauses and sentences
    Ethiopic     two word spaces, the full stop of typewriters
    Thai, Lao    have no sentence ends: a space, or the end of a line, behind a letter
"""

import re

SENTENCE_TERMINAL = (
    "21 2E 3F 589 61D-61F 6D4 700-702 7F9 837 839 83D-83E 964-965 104A-104B 1362 1367-1368 166E"
    " 1735-1736 17D4-17D5 1803 1809 1944-1945 1AA8-1AAB 1B4E-1B4F 1B5A-1B5B 1B5E-1B5F 1B7D-1B7F"
    " 1C3B-1C3C 1C7E-1C7F 2024 203C-203D 2047-2049 2CF9-2CFB 2E2E 2E3C 2E53-2E54 2E60-2E61 3002"
    " A4FF A60E-A60F A6F3 A6F7 A876-A877 A8CE-A8CF A92F A9C8-A9C9 AA5D-AA5F AAF0-AAF1 ABEB FE12"
    " FE15-FE16 FE52 FE56-FE57 FF01 FF0E FF1F FF61 10A56-10A57 10F55-10F59 10F86-10F89"
    " 11047-11048 110BE-110C1 11141-11143 111C5-111C6 111CD 111DE-111DF 11238-11239 1123B-1123C"
    " 112A9 113D4-113D5 1144B-1144C 115C2-115C3 115C9-115D7 11641-11642 1173C-1173E 11944 11946"
    " 11A42-11A43 11A9B-11A9C 11C41-11C42 11EF7-11EF8 11F43-11F44 16A6E-16A6F 16AF5 16B37-16B38"
    " 16B44 16D6E-16D6F 16E98 1BC9F 1DA88"
)
"""Code points and ranges of code points, hexadecimal."""
TIBETAN = "F0D-F12"
THAI_AND_LAO = "E01-E3A E40-E4E E81-ECE EDC-EDF"
TYPED_FULL_STOP = "\u1361\u1361"
"""Two Ethiopic word spaces."""


def characters(ranges: str) -> frozenset[str]:
    """The characters of a table like SENTENCE_TERMINAL."""
    ends = ([int(end, 16) for end in part.split("-")] for part in ranges.split())
    return frozenset(chr(code) for end in ends for code in range(end[0], end[-1] + 1))


TERMINALS = characters(f"{SENTENCE_TERMINAL} {TIBETAN}")
LETTERS_THAT_END = characters(THAI_AND_LAO)
LINE_ENDS = TERMINALS | LETTERS_THAT_END
MOST_SCRIPTS = "\uffff"
BEFORE_SPACE = re.compile("[.!?](?=[\\s\"'”’)\\]]|$)")
"""The last mark of a run: what is behind it decides."""
ANYWHERE = TERMINALS - set(".!?")
IN_USE = re.compile(f"[{''.join(sorted(c for c in ANYWHERE if c <= MOST_SCRIPTS))}]+")
HISTORIC = re.compile(f"[{''.join(sorted(c for c in ANYWHERE if c > MOST_SCRIPTS))}]+")
BEYOND = re.compile(f"[^\0-{MOST_SCRIPTS}]")
"""Two patterns, since `re` tests a class of characters up to U+FFFF by table and others one range
after the other, ten times slower."""
THAI_OR_LAO = re.compile("[\u0e01-\u0eff]")
BEFORE_GAP = re.compile(f"[{''.join(sorted(LETTERS_THAT_END))}](?=\\s|$)")


def count_sentences(text: str) -> int:
    """How many sentence ends a text has; equal marks in a row are one."""
    count = len(BEFORE_SPACE.findall(text))
    if text.isascii():
        return count
    count += len(IN_USE.findall(text)) + text.count(TYPED_FULL_STOP)
    if BEYOND.search(text):
        count += len(HISTORIC.findall(text))
    if THAI_OR_LAO.search(text):
        count += len(BEFORE_GAP.findall(text))
    return count


def ends_sentence(line: str) -> bool:
    """Whether a line without spaces around it ends as a sentence does."""
    return line[-1:] in LINE_ENDS or line.endswith(TYPED_FULL_STOP)
